"""The report of a comparison of segmentation methods: scores, and what each of them found."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipelines.archive import Archive
from pipelines.evaluation.drawing import SERIES, finish, new_figure, rgb
from pipelines.evaluation.instances import count_shared_pixels, match_instances
from pipelines.evaluation.overlays import (
    contrast_limits,
    outline_layer,
    outlines,
    scale_bar,
    stretch,
)
from services.report.blocks import Block, Code, Section, Table, Text, Tile, count, score
from services.report.build import write_page
from services.report.embedding import FigureFolder, png_uri
from services.report.images import Picture
from services.report.provenance import to_toml
from services.segmenting.choice import group_name
from services.segmenting.contest import Entrant, Group, Standing
from services.segmenting.images import KnownImage
from services.versions import code_version, library_versions

#: What the outlines of an object mean, and their colours.
MATCHED, WRONG, MISSED = "found", "found, but not drawn so", "drawn, but not found"
COLOURS = {MATCHED: SERIES[3], WRONG: SERIES[1], MISSED: SERIES[0]}
#: Images that are shown: some where the best did badly, some where it did well.
SHOWN_IMAGES = 6
#: Small images are shown so much larger that they are about this wide, in pixels.
WIDE_PX = 520


def write_segmenter_report(
    archive: Archive,
    groups: Sequence[Group],
    entrants: Sequence[Entrant],
    *,
    run_id: str,
    settings: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> Path:
    """Write what a comparison showed as ``reports/segmenters-RUN.html``.

    Parameters
    ----------
    archive : Archive
        Where the report goes.
    groups : sequence of Group
        Images and scores, of one pixel size each.
    entrants : sequence of Entrant
        All methods, also those that failed.
    run_id : str
        Names the run and the file.
    settings : mapping
        All settings, JSON-like.
    notes : sequence of str
        What a reader should know before believing anything.
    """
    name = f"segmenters-{run_id}"
    figures = FigureFolder(archive.reports / name)
    n_images = sum(len(group.images) for group in groups)
    told = [*notes]
    told += [f"{e.method.said} failed: {e.failure}" for e in entrants if e.failure]
    if n_images < 10:
        told.append(f"{count(n_images, 'image')} alone: small differences mean nothing")
    return write_page(
        archive,
        name,
        title="Segmentation methods compared",
        finished=datetime.now(UTC),
        run_id=run_id,
        notes=told,
        legend=COLOURS,
        tiles=_headline(groups),
        sections=[
            *(_overlays(number, group, figures) for number, group in enumerate(groups)),
            Section("scores", "Scores", _scores(groups, figures)),
            _reproduce(archive, groups, settings, run_id),
        ],
    )


def _headline(groups: Sequence[Group]) -> list[Tile]:
    tiles = []
    for group in groups:
        best = group.best
        where = group_name(group.pixel_sizes_nm)
        tiles.append(Tile(f"best at {where}", best.entrant.method.said, _of(group)))
        tiles.append(Tile("F1 at IoU 0.5", score(best.scores.f1_50), "all objects together"))
        tiles.append(Tile("panoptic quality", score(best.scores.pq)))
    return tiles


def _of(group: Group) -> str:
    n_objects = group.best.scores.n_truth
    return f"{count(n_objects, 'object')} in {count(len(group.images), 'image')}"


def _overlays(number: int, group: Group, figures: FigureFolder) -> Section:
    """Show what the best method found, and beside it the best of the others."""
    shown = group.standings[:2]
    blocks: list[Block] = [
        Text(
            "Images from those where the best method did worst to those where it did best; the "
            f"left picture is {shown[0].entrant.method.said}"
            + (f", the right one {shown[1].entrant.method.said}." if len(shown) > 1 else ".")
        )
    ]
    for place in _places(group.best):
        image = group.images[place]
        for standing in shown:
            blocks.append(_picture(image, standing, place, figures, f"{number}-{place}"))
    where = group_name(group.pixel_sizes_nm)
    return Section(f"overlays-{number}", f"What was found at {where}", blocks)


def _places(best: Standing) -> list[int]:
    """Choose images spread from the worst to the best."""
    order = np.argsort(best.scores.per_image, kind="stable")
    n = min(SHOWN_IMAGES, len(order))
    return [int(order[i]) for i in np.linspace(0, len(order) - 1, n).round().astype(int)]


def _picture(
    image: KnownImage, standing: Standing, place: int, figures: FigureFolder, file: str
) -> Picture:
    said = standing.entrant.method.said
    f1 = score(standing.scores.per_image[place])
    low, high = contrast_limits(image.grey)
    grey = stretch(image.grey, low=low, high=high)
    layer = compare_layer(image.instances, standing.entrant.found[image.name])
    factor = max(1, round(WIDE_PX / grey.shape[1]))
    if factor > 1:
        size = (grey.shape[1] * factor, grey.shape[0] * factor)
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC)
        large = [
            cv2.resize(ids.astype(np.float64), size, interpolation=cv2.INTER_NEAREST)
            for ids in (image.instances, standing.entrant.found[image.name])
        ]
        layer = compare_layer(large[0].astype(np.int64), large[1].astype(np.int64), width_px=2)
    share, text = scale_bar(image.grey.shape[1], image.pixel_size_nm)
    safe = "".join(letter if letter.isalnum() else "-" for letter in said)
    return Picture(
        image=png_uri(grey),
        outlines=png_uri(layer),
        caption=f"{image.name}, {said}: F1 {f1}",
        width_px=grey.shape[1],
        height_px=grey.shape[0],
        bar_percent=100 * share,
        bar_text=text,
        file=figures.add_pixels(f"overlay-{file}-{safe}", outlines(grey, layer)),
    )


def compare_layer(
    truth: NDArray[Any], found: NDArray[Any], *, width_px: int = 1
) -> NDArray[np.uint8]:
    """Draw the outlines of found objects, and of drawn ones that were not found.

    Parameters
    ----------
    truth, found : (H, W) integer arrays
        Instances; 0 is background.
    width_px : int
        Width of the outlines.

    Returns
    -------
    layer : (H, W, 4) array of uint8
        Colours as in `COLOURS`; clear elsewhere.
    """
    matches = match_instances(count_shared_pixels(truth, found))
    missed = np.where(np.isin(truth, matches.truth_ids), 0, truth)
    layer = outline_layer(missed, {}, default=rgb(COLOURS[MISSED]), width_px=width_px)
    matched = dict.fromkeys(matches.found_ids.tolist(), rgb(COLOURS[MATCHED]))
    above = outline_layer(found, matched, default=rgb(COLOURS[WRONG]), width_px=width_px)
    return np.where(above[..., 3:] == 255, above, layer)


def _scores(groups: Sequence[Group], figures: FigureFolder) -> list[Block]:
    blocks: list[Block] = []
    for number, group in enumerate(groups):
        where = group_name(group.pixel_sizes_nm)
        rows = [
            [
                standing.entrant.method.said,
                score(standing.scores.f1_50),
                score(standing.scores.f1_50_median),
                score(standing.scores.f1_75),
                score(standing.scores.pq),
                f"{standing.scores.n_found:,}",
                str(standing.scores.n_split),
                str(standing.scores.n_merged),
                f"{standing.mpx_per_s:.3g}",
            ]
            for standing in group.standings
        ]
        head = [
            "method", "F1@0.5", "median of images", "F1@0.75", "PQ", "found", "split", "merged",
            "Mpx/s",
        ]  # fmt: skip
        blocks.append(Table(f"{_of(group)}, {where}", head, rows))
        alt = ", ".join(f"{row[0]} {row[1]}" for row in rows)
        figure = f1_per_image(group.standings)
        blocks.append(figures.add(f"f1-{number}", figure, f"F1 at IoU 0.5, {where}: {alt}"))
    blocks.append(
        Text(
            "F1, F1@0.75 and PQ count the objects of all images together. Split: drawn objects "
            "found in several pieces. Merged: found objects that hold several drawn ones. Mpx/s: "
            "in one process, reading and post-processing included."
        )
    )
    return blocks


def f1_per_image(standings: Sequence[Standing]) -> Figure:
    """Draw F1 of every image as a dot, methods below each other, with the pooled value."""
    figure, axes = new_figure(0.9 + 0.42 * len(standings))
    for place, standing in enumerate(standings):
        values = np.array(standing.scores.per_image)
        # Spread by rank: dots of equal value must not hide each other.
        spread = (np.arange(len(values)) % 7 - 3) / 14
        axes.plot(values, place + spread, "o", color=SERIES[0], alpha=0.45, markersize=3.5, mew=0)
        axes.plot([standing.scores.f1_50] * 2, [place - 0.36, place + 0.36], color=SERIES[1], lw=2)
    axes.plot([], [], "o", color=SERIES[0], alpha=0.45, markersize=3.5, label="an image")
    axes.plot([], [], color=SERIES[1], lw=2, label="all objects together")
    axes.set_yticks(range(len(standings)), [s.entrant.method.said for s in standings])
    axes.set_ylim(len(standings) - 0.4, -0.6)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("F1 at IoU 0.5")
    figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=8)
    return finish(figure)


def _reproduce(
    archive: Archive, groups: Sequence[Group], settings: Mapping[str, Any], run_id: str
) -> Section:
    facts = {"run": run_id, "archive": str(archive.root), "code version": code_version()}
    for group in groups:
        for standing in group.standings:
            if digest := standing.entrant.method.weights_digest:
                facts[f"weights of {standing.entrant.method.said}"] = digest
    libraries = [[name, text] for name, text in library_versions().items()]
    return Section(
        "reproduce",
        "How to make this again",
        [
            Table("Identity", ["what", "value"], [list(fact) for fact in facts.items()], 2),
            Code(
                "All settings, as a file for --settings",
                to_toml({"segmenter.evaluate": settings}),
                True,
            ),
            Table("Libraries", ["library", "version"], libraries, 2, is_folded=True),
        ],
    )
