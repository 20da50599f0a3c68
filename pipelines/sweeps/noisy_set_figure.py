"""How a noisy training set is made: particles, their mirror images, and which labels are wrong."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from pipelines.evaluation.drawing import INK, SERIES, finish
from pipelines.labels.noise import NoisyLabels

Indices = NDArray[np.int64]
#: Wrong labels: a colour that no hand has, and a frame besides.
WRONG = SERIES[2]
_PLACE_IN = 0.82
_MARGIN_IN = 0.95
_TITLE_IN = 0.32
#: Heights in widths of a place: of a row with its label, and with the true label below.
_ROW = 1.42
_CROP = 0.92


def noisy_set_figure(
    crops: NDArray[np.uint8],
    shown: Sequence[int],
    true_labels: Indices,
    noisy: Sequence[NoisyLabels],
    *,
    classes: Sequence[str],
    mirrored_class: Sequence[int],
) -> Figure:
    """Draw the same particles under several error rates, those with wrong labels framed.

    Parameters
    ----------
    crops : (n, S, S) ndarray of uint8
        Crops of the particles shown, n of at least 1.
    shown : sequence of int
        Which of the N particles these are; see `worth_showing`.
    true_labels : (N,) ndarray of int
        Class indices of all particles.
    noisy : sequence of NoisyLabels
        The given labels of all particles, an error rate each.
    classes : sequence of str
        Names.
    mirrored_class : sequence of int
        For each class the one that its mirror image belongs to.

    Raises
    ------
    ValueError
        If crops and ``shown`` differ in number, or there is nothing to draw.

    References
    ----------
    After C. K. Groschner et al., npj Comput. Mater. 8, 149 (2022), figure 1.
    """
    if not len(shown) or len(shown) != len(crops) or not noisy:
        raise ValueError(
            f"crops, shown and noisy must hold something, and a crop for each shown, got "
            f"{len(crops)}, {len(shown)} and {len(noisy)}"
        )
    which = np.asarray(shown, dtype=np.int64)
    swap = np.asarray(mirrored_class, dtype=np.int64)
    heights_in = [
        _PLACE_IN * _ROW * (1 if labels.mirrored_given_labels is None else 2) for labels in noisy
    ]
    # Two crops alone are narrower than the words above them.
    width_in = max(3.4, _MARGIN_IN + _PLACE_IN * len(which) + 0.1)
    height_in = _TITLE_IN + sum(heights_in) + _TITLE_IN * len(noisy)
    figure = Figure(figsize=(width_in, height_in))
    panels = []
    below_in = height_in - _TITLE_IN
    for panel_in in heights_in:
        below_in -= panel_in + _TITLE_IN
        # In inches: layout engines lose the rows' names where axes keep their aspect.
        place = np.array([_MARGIN_IN, below_in, _PLACE_IN * len(which), panel_in])
        page = np.array([width_in, height_in, width_in, height_in])
        panels.append(figure.add_axes(tuple(place / page)))
    for axes, labels in zip(panels, noisy, strict=True):
        rows = [("particle", crops, true_labels[which], labels.given_labels[which])]
        if labels.mirrored_given_labels is not None:
            mirrored = labels.mirrored_given_labels[which]
            rows.append(("mirror image", crops[:, :, ::-1], swap[true_labels[which]], mirrored))
        _draw_panel(axes, rows, classes)
        axes.set_title(_panel_title(labels, true_labels, swap), loc="left", fontsize=10)
    figure.suptitle(
        "given labels; framed where wrong", fontsize=10, y=1 - 0.08 / height_in, va="top"
    )
    return finish(figure)


def worth_showing(noisy: Sequence[NoisyLabels], true_labels: Indices, *, n: int) -> list[int]:
    """Choose particles that show every error rate about as it is.

    Parameters
    ----------
    noisy : sequence of NoisyLabels
        As in `noisy_set_figure`.
    true_labels : (N,) ndarray of int
        Class indices.
    n : int
        How many.

    Returns
    -------
    shown : list of int
        Rising. Evenly from the particles in order of how many rates give them a wrong label, so
        that the shares of wrong labels are those of all, to within one particle where the wrong
        labels of a lower rate are among those of every higher one.
    """
    times_wrong = np.sum([labels.given_labels != true_labels for labels in noisy], axis=0)
    order = np.argsort(times_wrong, kind="stable")
    places = ((np.arange(min(n, len(order))) + 0.5) * len(order) / min(n, len(order))).astype(int)
    return sorted(int(row) for row in order[places])


def _draw_panel(
    axes: Axes,
    rows: Sequence[tuple[str, NDArray[np.uint8], Indices, Indices]],
    classes: Sequence[str],
) -> None:
    for row, (_, images, true, given) in enumerate(rows):
        for column, image in enumerate(images):
            left, top = column + (1 - _CROP) / 2, _ROW * row
            extent = (left, left + _CROP, top + _CROP, top)
            axes.imshow(image, cmap="gray", vmin=0, vmax=255, extent=extent)
            wrong = bool(true[column] != given[column])
            axes.text(
                column + 0.5,
                top + _CROP + 0.06,
                classes[given[column]],
                ha="center",
                va="top",
                size=8,
                color=WRONG if wrong else INK,
                weight="bold" if wrong else "normal",
            )
            if wrong:
                frame: dict[str, Any] = {"fill": False, "edgecolor": WRONG, "linewidth": 2.5}
                axes.add_patch(Rectangle((left, top), _CROP, _CROP, **frame))
                truth = f"truly {classes[true[column]]}"
                axes.text(column + 0.5, top + _CROP + 0.23, truth, ha="center", va="top", size=7)
    axes.set_xlim(0, len(rows[0][1]))
    axes.set_ylim(_ROW * len(rows), -0.04)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([_ROW * row + _CROP / 2 for row in range(len(rows))], [row[0] for row in rows])
    axes.tick_params(length=0)
    axes.set_frame_on(False)


def _panel_title(labels: NoisyLabels, true_labels: Indices, swap: Indices) -> str:
    wrong = labels.given_labels != true_labels
    n_images, n_wrong = len(wrong), int(wrong.sum())
    if labels.mirrored_given_labels is not None:
        n_wrong += int((labels.mirrored_given_labels != swap[true_labels]).sum())
        n_images *= 2
    return f"{100 * labels.error_rate:.3g} % wrong: {n_wrong:,} of {n_images:,} images"
