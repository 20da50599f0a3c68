"""What is known of each particle of a rendered mosaic: hand, place, and how well it shows."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Window
from pipelines.simulation.particle import Particle
from pipelines.simulation.visibility import LEAST_SHOWING, LEAST_VISIBILITY


@dataclass(frozen=True)
class Sighting:
    """What shows of one particle in one tile; coordinates are the mosaic's."""

    instance: int
    area_px: int
    sum_y: float
    sum_x: float
    box: Window
    touching: bool


def sightings(instances: NDArray[np.uint32], window: Window) -> list[Sighting]:
    """Measure every particle of a tile.

    Parameters
    ----------
    instances : (H, W) array of uint32
        The tile's instances; 0 is background.
    window : Window
        Where the tile lies in the mosaic.

    Returns
    -------
    found : list of Sighting
        By ascending id. Two particles touch where they share a border within the tile.
    """
    y, x = np.nonzero(instances)
    if len(y) == 0:
        return []
    order = np.argsort(instances[y, x], kind="stable")
    y, x = y[order], x[order]
    ids, starts, areas = np.unique(instances[y, x], return_index=True, return_counts=True)
    y, x = y + window.y0, x + window.x0
    lows = [np.minimum.reduceat(axis, starts) for axis in (y, x)]
    highs = [np.maximum.reduceat(axis, starts) + 1 for axis in (y, x)]
    sums = [np.add.reduceat(axis, starts) for axis in (y, x)]
    touching = _touching(instances)
    return [
        Sighting(
            instance=int(instance),
            area_px=int(areas[k]),
            sum_y=float(sums[0][k]),
            sum_x=float(sums[1][k]),
            box=Window(int(lows[0][k]), int(lows[1][k]), int(highs[0][k]), int(highs[1][k])),
            touching=int(instance) in touching,
        )
        for k, instance in enumerate(ids)
    ]


def flipped(sighting: Sighting, width_px: int) -> Sighting:
    """Reflect a sighting with the whole mosaic, left to right."""
    y0, x0, y1, x1 = sighting.box
    return Sighting(
        instance=sighting.instance,
        area_px=sighting.area_px,
        sum_y=sighting.sum_y,
        sum_x=sighting.area_px * (width_px - 1) - sighting.sum_x,
        box=Window(y0, width_px - x1, y1, width_px - x0),
        touching=sighting.touching,
    )


def truth_rows(
    mosaic: str,
    particles: Sequence[Particle],
    found: Iterable[Sighting],
    alone: Mapping[int, tuple[float, int]],
    *,
    size_px: int,
    pixel_size_nm: float,
) -> list[dict[str, Any]]:
    """Join what was drawn and what shows: a row per particle of which a pixel shows.

    The hand of a particle counts as determinable where enough of it shows, and its cue, times
    the share that shows, reaches `pipelines.simulation.visibility.LEAST_VISIBILITY`. That of an
    achiral particle never is.

    Parameters
    ----------
    mosaic : str
        The mosaic's name.
    particles : sequence of Particle
        As rendered.
    found : iterable of Sighting
        Of all tiles, in any order.
    alone : mapping of int to (float, int)
        By instance: cue and area of the particle alone.
    size_px : int
        Edge of the mosaic, in pixels.
    pixel_size_nm : float
        Edge of a pixel, in nanometres.

    Returns
    -------
    rows : list of dict
        With the columns of the archive's truth table, by ascending instance.
    """
    parts: dict[int, list[Sighting]] = {}
    for sighting in found:
        parts.setdefault(sighting.instance, []).append(sighting)
    return [
        _row(mosaic, particle, seen, alone[particle.piece.instance], size_px, pixel_size_nm)
        for particle in sorted(particles, key=lambda particle: particle.piece.instance)
        if (seen := parts.get(particle.piece.instance))
    ]


def _row(
    mosaic: str,
    particle: Particle,
    seen: Sequence[Sighting],
    alone: tuple[float, int],
    size_px: int,
    pixel_size_nm: float,
) -> dict[str, Any]:
    cue, whole_px = alone
    area_px = sum(part.area_px for part in seen)
    showing = min(area_px / max(whole_px, 1), 1.0)
    visibility = cue * showing
    cut_off = any(
        min(part.box.y0, part.box.x0) == 0 or max(part.box.y1, part.box.x1) == size_px
        for part in seen
    )
    attributes = {
        "length_nm": round(particle.length_px * pixel_size_nm, 2),
        "radius_nm": round(particle.radius_px * pixel_size_nm, 2),
        "twist_deg": round(particle.twist_deg, 2),
        "pose": particle.resting_on,
        "azimuth_deg": round(particle.azimuth_deg, 2),
        "tilt_deg": round(particle.tilt_deg, 2),
        "truncation": [round(share, 3) for share in particle.truncation],
        "chips": particle.chips,
        "leaning": particle.leaning,
        "touching": any(part.touching for part in seen),
        "cut_off": cut_off,
        "occluded_fraction": round(1 - showing, 4),
        "cue": round(cue, 4),
    }
    return {
        "mosaic": mosaic,
        "truth_instance": particle.piece.instance,
        "label": particle.hand,
        "determinable": particle.hand != "none"
        and showing >= LEAST_SHOWING
        and visibility >= LEAST_VISIBILITY,
        "visibility": visibility,
        "centroid_y_px": sum(part.sum_y for part in seen) / area_px,
        "centroid_x_px": sum(part.sum_x for part in seen) / area_px,
        "area_px": area_px,
        "attributes": json.dumps(attributes),
    }


def _touching(instances: NDArray[np.uint32]) -> set[int]:
    """Find the particles that share a border with another."""
    found: set[int] = set()
    for here, there in (
        (instances[:, :-1], instances[:, 1:]),
        (instances[:-1, :], instances[1:, :]),
    ):
        meet = (here != there) & (here > 0) & (there > 0)
        found.update(here[meet].tolist(), there[meet].tolist())
    return found
