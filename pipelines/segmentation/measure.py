"""From sums over pixels to what the particles table says, and which particles stay."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.archive import mosaic_key
from pipelines.records import INSTANCE_BITS
from pipelines.segmentation.parts import Sum
from pipelines.segmentation.settings import SegmentationSettings
from pipelines.segmentation.stitching import Particles
from pipelines.segmentation.survey import Survey

#: A particle whose contrast is below this share of the typical one is flagged.
LOW_CONTRAST_SHARE = 0.5

Columns = dict[str, NDArray[Any]]


def choose_particles(
    particles: Particles,
    shape: tuple[int, int],
    settings: SegmentationSettings,
    pixel_size_nm: float | None,
) -> NDArray[np.bool_]:
    """Tell which particles stay within the limits of size and border."""
    diameter_px = _diameter(particles.sums[:, Sum.AREA])
    keep = np.ones(len(particles), dtype=np.bool_)
    for unit, diameter in (("px", diameter_px), ("nm", diameter_px * (pixel_size_nm or math.nan))):
        least = getattr(settings, f"min_diameter_{unit}")
        most = getattr(settings, f"max_diameter_{unit}")
        if least is not None:
            keep &= diameter >= least
        if most is not None:
            keep &= diameter <= most
    if settings.clear_border:
        keep &= ~touches_edge(particles, shape)
    if keep.any():
        keep &= diameter_px >= settings.min_relative_diameter * typical_diameter(diameter_px[keep])
    return keep


def typical_diameter(diameters: NDArray[np.float64]) -> float:
    """Return the diameter that half of all area lies at or below, however many specks there are.

    Examples
    --------
    >>> float(typical_diameter(np.array([1.0] * 50 + [20.0, 30.0, 31.0])))
    30.0
    """
    ordered = np.sort(diameters)
    area = np.cumsum(ordered**2)
    return float(ordered[np.searchsorted(area, area[-1] / 2)])


def touches_edge(particles: Particles, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Tell which particles touch the mosaic's edge, or a tile that is missing."""
    sums = particles.sums
    at_edge = (sums[:, Sum.MIN_Y] == 0) | (sums[:, Sum.MIN_X] == 0)
    at_edge |= (sums[:, Sum.MAX_Y] == shape[0] - 1) | (sums[:, Sum.MAX_X] == shape[1] - 1)
    return np.asarray(at_edge | particles.touches_gap)


def measure_particles(
    particles: Particles,
    keep: NDArray[np.bool_],
    survey: Survey,
    *,
    mosaic: str,
    shape: tuple[int, int],
    pixel_size_nm: float | None,
    segmentation: str,
) -> Columns:
    """Return the columns of the particles table for the particles that stay.

    Parameters
    ----------
    particles : Particles
        All particles of the mosaic.
    keep : (n,) bool array
        Which of them stay; they get the ids 1, 2, ... in order.
    survey : Survey
        For the background beneath them.
    mosaic : str
        The mosaic's name.
    shape : (int, int)
        Its height and width.
    pixel_size_nm : float or None
        Edge of a pixel; without it columns in nanometres are left out.
    segmentation : str
        Digest of the segmentation.

    Notes
    -----
    Axes are those of the ellipse with equal second moments, each pixel a square of side one;
    the orientation is the angle of the major axis from the downward y axis towards the x axis.
    """
    sums = particles.sums[keep]
    instance = np.arange(1, len(sums) + 1, dtype=np.int64)
    area = sums[:, Sum.AREA]
    box = _boxes(sums)
    y, x = sums[:, Sum.Y] / area, sums[:, Sum.X] / area
    centroid_y, centroid_x = y + sums[:, Sum.MIN_Y], x + sums[:, Sum.MIN_X]
    major, minor, orientation = _ellipses(sums, y, x)
    mean = sums[:, Sum.GREY] / area
    variance = np.maximum(sums[:, Sum.GREY_SQUARED] / area - mean**2, 0)
    block = survey.block_px
    rows = (centroid_y.astype(np.int64) // block, centroid_x.astype(np.int64) // block)
    background = survey.backgrounds[rows].astype(np.float64)
    contrast = (mean - background) * (1 if survey.bright else -1)
    columns: Columns = {
        "particle_id": (mosaic_key(mosaic) << INSTANCE_BITS) | instance,
        "mosaic": np.full(len(sums), mosaic, dtype=object),
        "instance": instance,
        "segmentation": np.full(len(sums), segmentation, dtype=object),
        "centroid_y_px": centroid_y,
        "centroid_x_px": centroid_x,
        "bbox_y0_px": box[0],
        "bbox_x0_px": box[1],
        "bbox_y1_px": box[2],
        "bbox_x1_px": box[3],
        "area_px": area,
        "equivalent_diameter_px": _diameter(area),
        "major_axis_px": major,
        "minor_axis_px": minor,
        "orientation_rad": orientation,
        "eccentricity": np.sqrt(np.maximum(1 - (minor / major) ** 2, 0)),
        "extent": area / ((box[2] - box[0]) * (box[3] - box[1])),
        "mean_intensity": mean / survey.grey.scale + survey.grey.offset,
        "std_intensity": np.sqrt(variance) / survey.grey.scale,
        "min_intensity": sums[:, Sum.MIN_GREY] / survey.grey.scale + survey.grey.offset,
        "max_intensity": sums[:, Sum.MAX_GREY] / survey.grey.scale + survey.grey.offset,
        "background_intensity": background / survey.grey.scale + survey.grey.offset,
        "contrast": contrast / survey.grey.scale,
        "touches_edge": touches_edge(particles, shape)[keep],
        "crosses_seam": particles.crosses_seam[keep],
        "low_contrast": contrast < LOW_CONTRAST_SHARE * survey.contrast,
    }
    if pixel_size_nm is not None:
        columns["area_nm2"] = area * pixel_size_nm**2
        for name in ("equivalent_diameter", "major_axis", "minor_axis"):
            columns[f"{name}_nm"] = columns[f"{name}_px"] * pixel_size_nm
    return columns


def _diameter(area: NDArray[Any]) -> NDArray[np.float64]:
    """Return the diameter of the disc of equal area."""
    return np.asarray(np.sqrt(4 / math.pi * area), dtype=np.float64)


def _boxes(sums: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    return (
        sums[:, Sum.MIN_Y],
        sums[:, Sum.MIN_X],
        sums[:, Sum.MAX_Y] + 1,
        sums[:, Sum.MAX_X] + 1,
    )


def _ellipses(
    sums: NDArray[np.int64], y: NDArray[np.float64], x: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return major axis, minor axis and orientation."""
    area = sums[:, Sum.AREA]
    # A pixel is a square, whose own second moment is a twelfth.
    yy = sums[:, Sum.YY] / area - y * y + 1 / 12
    xx = sums[:, Sum.XX] / area - x * x + 1 / 12
    xy = sums[:, Sum.XY] / area - x * y
    middle, half = (yy + xx) / 2, np.hypot((yy - xx) / 2, xy)
    major = 4 * np.sqrt(middle + half)
    minor = 4 * np.sqrt(np.maximum(middle - half, 0))
    return major, minor, 0.5 * np.arctan2(2 * xy, yy - xx)
