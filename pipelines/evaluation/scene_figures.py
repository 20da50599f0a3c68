"""Places and pictures of particles as figures: seams, and galleries of crops."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from pipelines.evaluation.drawing import FAINT, NEUTRAL, SERIES, finish, new_figure
from pipelines.evaluation.overlays import tile_crops

Floats = NDArray[np.float64]

#: Of a gallery: the width that a crop takes with its gap, and its caption's letters and lines.
_COLUMN_IN, _CAPTION_PT = 1.0, 7
_CAPTION_LINE_IN = 1.25 * _CAPTION_PT / 72
#: More than an average letter of a title takes.
_TITLE_LETTER_IN = 0.1


def seam_map(
    shape: tuple[int, int],
    centroids_yx: Floats,
    crosses_seam: NDArray[np.bool_],
    *,
    core_px: int | None,
    uncertain_yx: Floats | None = None,
) -> Figure:
    """Draw where the seams between tiles lie, and which particles cross them.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the mosaic, in pixels.
    centroids_yx : (N, 2) ndarray
        Centres of the particles, in pixels.
    crosses_seam : (N,) ndarray of bool
        Which of them were found by more than one tile.
    core_px : int or None
        Edge of a tile's core, in pixels; None draws no seams.
    uncertain_yx : (M, 2) ndarray, optional
        Where merges were uncertain, in pixels.
    """
    height, width = shape
    figure, axes = new_figure(min(7.0, 0.9 + 4.7 * height / width))
    if core_px:
        axes.hlines(np.arange(core_px, height, core_px), 0, width, color=FAINT, linewidth=0.8)
        axes.vlines(np.arange(core_px, width, core_px), 0, height, color=FAINT, linewidth=0.8)
    for chosen, colour, size, name in (
        (~crosses_seam, NEUTRAL, 3, "within one tile"),
        (crosses_seam, SERIES[0], 9, "across a seam"),
    ):
        points = centroids_yx[chosen]
        axes.scatter(
            points[:, 1],
            points[:, 0],
            s=size,
            color=colour,
            linewidths=0,
            label=f"{name}: {len(points)}",
            # Beyond this many, dots as pictures are smaller than dots as drawings.
            rasterized=len(points) > 2000,
        )
    if uncertain_yx is not None:
        axes.scatter(
            uncertain_yx[:, 1],
            uncertain_yx[:, 0],
            s=40,
            marker="x",
            color=SERIES[1],
            label=f"uncertain merge: {len(uncertain_yx)}",
        )
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    axes.set_xlabel("x (px)")
    axes.set_ylabel("y (px)")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return finish(figure)


def gallery(
    crops: NDArray[np.uint8],
    captions: Sequence[str],
    *,
    bar: tuple[float, str],
    columns: int = 8,
    title: str = "",
) -> Figure:
    """Lay crops of one scale out with a caption each and a scale bar.

    Parameters
    ----------
    crops : (N, S, S) ndarray of uint8
        N of at least 1.
    captions : sequence of str
        N texts.
    bar : (float, str)
        Length of the scale bar as a share of a crop's width, and in words; see `scale_bar`.
    columns : int
        Crops per row.
    title : str
        What all of them are.
    """
    edge = crops.shape[1]
    columns = min(columns, len(crops))
    gap_x = round(0.3 * edge)
    px_per_in = (edge + gap_x) / _COLUMN_IN
    n_lines = max(caption.count("\n") + 1 for caption in captions)
    gap_y = round((n_lines + 1) * _CAPTION_LINE_IN * px_per_in)
    sheet = tile_crops(crops, columns=columns, gaps_px=(gap_y, gap_x))
    # The last row has its captions below it too.
    height, width = sheet.shape[0] + gap_y, sheet.shape[1]
    share, text = bar
    said = f"{title} (bar: {text})".strip()
    margin_in, title_in = 0.1, 0.35
    sheet_in = width / px_per_in, height / px_per_in
    # Few crops may be narrower than their title.
    width_in = max(sheet_in[0], _TITLE_LETTER_IN * len(said)) + 2 * margin_in
    height_in = sheet_in[1] + title_in
    figure = Figure(figsize=(width_in, height_in))
    axes = figure.add_axes(
        (margin_in / width_in, 0.0, sheet_in[0] / width_in, sheet_in[1] / height_in)
    )
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=255, aspect="auto")
    axes.set_axis_off()
    for index, caption in enumerate(captions):
        y, x = index // columns * (edge + gap_y), index % columns * (edge + gap_x)
        axes.text(x + edge / 2, y + 1.05 * edge, caption, ha="center", va="top", size=_CAPTION_PT)
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axes.add_patch(Rectangle((edge * 0.06, edge * 0.9), edge * share, edge * 0.04, color="white"))
    axes.set_title(said, loc="left")
    return finish(figure)
