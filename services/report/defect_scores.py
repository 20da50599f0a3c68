"""The report of scored mosaics: the oddest places first, then curves where labels are given."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.archive import Archive
from pipelines.evaluation.anomaly_figures import curves, image_scores
from pipelines.mosaic.ome_zarr import open_mosaic
from pipelines.records import Window
from services.report.blocks import Section, Table, Text, Tile, count, percent, score
from services.report.build import write_page
from services.report.defect_patches import GALLERY_N, draw_patches, ring, show
from services.report.defects import IMAGES_N, curve_of
from services.report.embedding import FigureFolder

if TYPE_CHECKING:
    from services.defects.scoring import ScoredMosaic
    from services.model_registry import RegisteredModel


def write_score_report(
    archive: Archive,
    model: "RegisteredModel",
    scored: "Sequence[ScoredMosaic]",
) -> Path:
    """Write what a detector found in mosaics as a report: ranked gallery, curves, images."""
    name = f"defects-{model.name}-{model.version}"
    figures = FigureFolder(archive.reports / name)
    scores = np.concatenate([each.scores for each in scored])
    known = np.concatenate([each.is_defect for each in scored])
    certain = ~np.concatenate([each.is_doubtful for each in scored])
    n_flagged = sum(int(each.flagged.sum()) for each in scored)
    tiles = [
        Tile("patches", f"{len(scores):,}", f"in {count(len(scored), 'mosaic')}"),
        Tile("flagged", f"{n_flagged:,}", percent(n_flagged / len(scores))),
        Tile("defects", f"{sum(each.n_found for each in scored):,}", "rows of the table"),
        Tile("detector", model.config["method"], f"{model.name}, version {model.version}"),
    ]
    sections = [_ranked(archive, model, scored, figures)]
    curve = curve_of(scores[certain], known[certain])
    if curve is not None:
        tiles.append(Tile("PR-AUC", score(curve.pr_auc), "against the labels given"))
        text = (
            f"{int(known.sum())} patches hold a known defect. ROC-AUC {curve.roc_auc:.3f}, "
            f"recall at 1 % false positives {percent(curve.recall_at(0.01))}. Where the detector "
            "learnt from these mosaics this flatters: `tessera defects evaluate` does not."
        )
        prevalence = float(known[certain].mean())
        figure = curves({str(model.config["method"]): curve}, prevalence=prevalence)
        sections.append(
            Section(
                "truth", "Against the labels", [figures.add("curves", figure, text), Text(text)]
            )
        )
    sections.append(_mosaics(model, scored, figures))
    return write_page(
        archive,
        name,
        title="Defects found",
        finished=datetime.now(UTC),
        run_id=model.run_id,
        notes=[],
        legend=None,
        tiles=tiles,
        sections=sections,
    )


def _ranked(
    archive: Archive, model: "RegisteredModel", scored: "Sequence[ScoredMosaic]",
    figures: FigureFolder,
) -> Section:  # fmt: skip
    """Show the oddest patches of all mosaics, with the map of scores beside each."""
    ranked = sorted(
        ((float(s), i, k) for i, each in enumerate(scored) for k, s in enumerate(each.scores)),
        reverse=True,
    )[:GALLERY_N]
    edge = int(model.config["patch_px"])
    pictures, captions = [], []
    for value, i, k in ranked:
        each = scored[i]
        y, x = (int(v) for v in each.origins_yx[k])
        window = Window(y, x, y + edge, x + edge)
        oddness = None if each.map is None else open_mosaic(each.map).read(window)
        pixels = open_mosaic(archive.mosaic(each.info.name)).read(window)
        pictures.append(ring(show(pixels), oddness))
        kind = str(each.kinds[k]) or ("defect" if each.is_defect[k] else "")
        captions.append((f"{value:.2f} {kind}".strip(), f"{each.info.name}, y {y}, x {x} px"))
    block = draw_patches(
        "oddest patches first",
        pictures,
        captions,
        figures,
        file="oddest",
        edge_px=edge,
        pixel_size_nm=scored[0].info.pixel_size_nm,
    )
    text = (
        f"A patch is flagged from {model.config['threshold']:.3g} on. A kind is named where a "
        "known defect lies in the patch; a ring shows the oddest place, where there is a map."
    )
    return Section("oddest", "Ranked by score", [block, Text(text)])


def _mosaics(
    model: "RegisteredModel", scored: "Sequence[ScoredMosaic]", figures: FigureFolder
) -> Section:
    by_worst = sorted(scored, key=lambda each: (-int(each.flagged.sum()), each.info.name))
    rows = [
        [each.info.name, each.session, str(len(each.scores)), str(int(each.flagged.sum())),
         str(each.n_found), f"{each.scores.max():.2f}", str(each.map.name) if each.map else "-"]
        for each in by_worst
    ]  # fmt: skip
    head = ["mosaic", "session", "patches", "flagged", "defects", "highest score", "map"]
    shown = by_worst[:IMAGES_N]
    figure = image_scores(
        [each.info.name for each in shown],
        [each.scores for each in shown],
        [each.is_defect for each in shown],
        threshold=float(model.config["threshold"]),
    )
    alt = "Scores of every mosaic's patches; dots hold a known defect; dotted is the threshold"
    return Section(
        "mosaics",
        "Mosaics",
        [figures.add("image-scores", figure, alt), Table("By mosaic", head, rows, 2)],
    )
