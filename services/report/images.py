"""Mosaics and particles as pictures: overviews, cut-outs at full resolution, galleries."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pipelines.archive import Archive
from pipelines.evaluation.drawing import NEUTRAL, SERIES, class_colours, rgb
from pipelines.evaluation.overlays import (
    contrast_limits,
    outline_layer,
    outlines,
    scale_bar,
    stretch,
)
from pipelines.evaluation.scene_figures import gallery
from pipelines.mosaic.crops import CropSpec, read_crops
from pipelines.mosaic.ome_zarr import Mosaic, has_instances, open_instances, open_mosaic
from pipelines.records import Window
from services.report.embedding import FigureFolder, png_uri
from services.report.particles import Particles

#: Edge of the largest overview, of a thumbnail and of a crop, in pixels of the picture.
OVERVIEW_PX, THUMBNAIL_PX, CROP_PX = 1400, 360, 112
#: Edge of the full-resolution cut-out, in pixels: about so many particles wide, within limits.
CUT_OUT_DIAMETERS, CUT_OUT_PX = 10, (384, 900)


@dataclass(frozen=True)
class Picture:
    """A grey image, the outlines that can be laid over it, and its scale bar.

    ``bar_percent`` is the bar's length as a share of the width.
    """

    kind: ClassVar[str] = "picture"
    image: str
    outlines: str
    caption: str
    width_px: int
    height_px: int
    bar_percent: float
    bar_text: str
    file: str = ""

    @property
    def alt(self) -> str:
        """What a picture that cannot be seen shows."""
        return f"{self.caption}, with the outlines of its particles"


@dataclass(frozen=True)
class Crop:
    """A particle in a gallery; ``about`` is what the pointer shows."""

    image: str
    lines: Sequence[str]
    about: str


@dataclass(frozen=True)
class Gallery:
    """Crops of one scale; ``bar_percent`` is the scale bar's share of a crop's width."""

    kind: ClassVar[str] = "gallery"
    title: str
    crops: Sequence[Crop]
    bar_percent: float
    bar_text: str
    file: str


def draw_overview(
    archive: Archive,
    particles: Particles,
    name: str,
    figures: FigureFolder | None = None,
    *,
    largest_px: int = OVERVIEW_PX,
) -> Picture:
    """Draw a whole mosaic, from the pyramid's finest level that is not too large."""
    mosaic = open_mosaic(archive.mosaic(name))
    levels = range(mosaic.info.n_levels)
    fitting = (k for k in levels if max(mosaic.level(k).shape) <= largest_px)
    level = next(fitting, levels[-1])
    window = Window(0, 0, *mosaic.level(level).shape)
    size = " x ".join(map(str, mosaic.info.shape))
    caption = f"{name}, {size} px"
    file = f"overview-{name}" if figures else ""
    return _draw(mosaic, particles, window, level, caption, figures, file)


def draw_cut_out(
    archive: Archive, particles: Particles, name: str, figures: FigureFolder
) -> Picture | None:
    """Draw the densest part of a mosaic at full resolution; None if the overview shows that."""
    mosaic = open_mosaic(archive.mosaic(name))
    own = particles.rows_of(name)
    if max(mosaic.info.shape) <= CUT_OUT_PX[1] or not len(own):
        return None
    edge = int(np.clip(CUT_OUT_DIAMETERS * np.median(particles.diameter_px[own]), *CUT_OUT_PX))
    window = densest_window(particles.centroid_yx[own], mosaic.info.shape, edge)
    caption = f"{name} at full resolution, from y {window.y0}, x {window.x0} px"
    return _draw(mosaic, particles, window, 0, caption, figures, f"cut-out-{name}")


def densest_window(
    centroids_yx: NDArray[np.float64], shape: tuple[int, int], edge_px: int
) -> Window:
    """Return the square of a half-overlapping grid with the most particles, the first of equals."""
    half = max(1, edge_px // 2)
    counts = np.zeros((shape[0] // half + 3, shape[1] // half + 3), int)
    rows, columns = (centroids_yx // half).astype(int).T
    for dy in (0, 1):
        for dx in (0, 1):
            # A particle lies in the four squares that overlap where it is.
            np.add.at(counts, (rows + dy, columns + dx), 1)
    row, column = np.unravel_index(int(counts.argmax()), counts.shape)
    y0 = int(np.clip((row - 1) * half, 0, max(0, shape[0] - edge_px)))
    x0 = int(np.clip((column - 1) * half, 0, max(0, shape[1] - edge_px)))
    return Window(y0, x0, min(y0 + edge_px, shape[0]), min(x0 + edge_px, shape[1]))


def draw_gallery(
    archive: Archive,
    particles: Particles,
    rows: NDArray[np.int64],
    captions: Sequence[Sequence[str]],
    title: str,
    figures: FigureFolder,
    file: str,
) -> Gallery:
    """Cut particles out, all at one scale, as they lie in their mosaics.

    Each of ``captions`` is the lines below a crop.
    """
    names = list(dict.fromkeys(particles.mosaic[rows]))
    mosaics = {name: open_mosaic(archive.mosaic(name)) for name in names}
    sizes = {name: mosaic.info.pixel_size_nm for name, mosaic in mosaics.items()}
    in_nm = all(sizes.values())
    # One scale for all: in nanometres where every mosaic knows its own, else in pixels.
    unit_px = {name: 1 / (sizes[name] or 1) if in_nm else 1.0 for name in names}
    lengths = [particles.major_axis_px[r] / unit_px[particles.mosaic[r]] for r in rows]
    field = 1.5 * float(np.percentile(lengths, 90))
    crops = np.empty((len(rows), CROP_PX, CROP_PX), np.uint8)
    for name in names:
        own = np.flatnonzero(particles.mosaic[rows] == name)
        found = read_crops(
            mosaics[name],
            particles.centroid_yx[rows[own]],
            particles.orientation_rad[rows[own]],
            CropSpec(CROP_PX),
            field_px=field * unit_px[name],
        )
        for place, crop in zip(own, found, strict=True):
            low, high = contrast_limits(crop)
            crops[place] = stretch(crop, low=low, high=high)
    share, text = scale_bar(field, 1.0 if in_nm else None)
    joined = ["\n".join(lines) for lines in captions]
    figure = gallery(crops, joined, bar=(share, text), title=title)
    return Gallery(
        title=title,
        crops=[
            Crop(png_uri(crop), lines, _about(particles, int(row)))
            for crop, lines, row in zip(crops, captions, rows, strict=True)
        ],
        bar_percent=100 * share,
        bar_text=text,
        file=figures.save(file, figure),
    )


def _draw(
    mosaic: Mosaic,
    particles: Particles,
    window: Window,
    level: int,
    caption: str,
    figures: FigureFolder | None,
    file: str,
) -> Picture:
    image = mosaic.read(window, level)
    low, high = contrast_limits(image)
    grey = stretch(image, low=low, high=high)
    layer = np.zeros((*grey.shape, 4), np.uint8)
    if has_instances(mosaic.path):
        instances = open_instances(mosaic.path).read(window, level)
        colours = instance_colours(particles, particles.rows_of(mosaic.info.name))
        # Thin enough to leave the particle visible, thick enough to be seen in a small picture.
        median_px = np.median(particles.diameter_px) / mosaic.downsampling(level)
        width = 2 if median_px >= 12 else 1
        layer = outline_layer(instances, colours, default=rgb(SERIES[0]), width_px=width)
    size = mosaic.info.pixel_size_nm
    share, text = scale_bar(grey.shape[1] * mosaic.downsampling(level), size)
    return Picture(
        image=png_uri(grey),
        outlines=png_uri(layer),
        caption=caption,
        width_px=grey.shape[1],
        height_px=grey.shape[0],
        bar_percent=100 * share,
        bar_text=text,
        file=figures.add_pixels(file, outlines(grey, layer)) if figures else "",
    )


def instance_colours(
    particles: Particles, rows: NDArray[np.int64]
) -> dict[int, tuple[int, int, int]]:
    """Give the chosen particles the colours of their labels; without any label, one colour."""
    labels = particles.best_label
    names = particles.names(labels)
    if not names:
        return {}
    colours = {name: rgb(colour) for name, colour in class_colours(names).items()}
    chosen = zip(particles.instance[rows].tolist(), labels[rows], strict=True)
    return {instance: colours.get(label, rgb(NEUTRAL)) for instance, label in chosen}


def _about(particles: Particles, row: int) -> str:
    y, x = particles.centroid_yx[row]
    size = particles.diameter_nm[row]
    extent = f"{size:.3g} nm" if np.isfinite(size) else f"{particles.diameter_px[row]:.3g} px"
    return (
        f"particle {particles.ids[row]}: {particles.mosaic[row]}, y {y:.0f}, x {x:.0f} px; {extent}"
    )
