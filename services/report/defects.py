"""The report that compares detectors of defects: what could fool first, then how they compare."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.archive import Archive
from pipelines.evaluation.anomaly import Curve, Estimate, score_curve
from pipelines.evaluation.anomaly_figures import curves, image_scores, split_gap
from services.report.blocks import (
    Block,
    Section,
    Table,
    Text,
    Tile,
    count,
    percent,
    percent_between,
    score,
)
from services.report.build import write_page
from services.report.defect_patches import GALLERY_N, draw_patches, ring, show
from services.report.embedding import FigureFolder

if TYPE_CHECKING:
    from services.defects.evaluation import Evaluation, MethodResult

#: Images whose scores are drawn one by one.
IMAGES_N = 40


def write_evaluation_report(
    archive: Archive, found: "Evaluation", *, name: str, run_id: str
) -> Path:
    """Write the comparison of detectors as ``reports/NAME.html``."""
    figures = FigureFolder(archive.reports / name)
    best = found.results[0]
    suspicious = [leak for leak in found.leaks if leak.is_suspicious]
    n_images = len(np.unique(found.patches.images))
    tiles = [
        Tile("patches", f"{len(found.patches):,}", f"in {count(n_images, 'image')}"),
        Tile("with a defect", str(int(found.patches.is_defect.sum())), percent(found.prevalence)),
        Tile("best on unseen images", best.method, f"PR-AUC {_interval(best.measured.pr_auc)}"),
        Tile("recall at 1 % false positives", percent(best.measured.recall.value),
             percent_between(best.measured.recall.low, best.measured.recall.high)),
        Tile("possible leaks", str(len(suspicious)), "see the first section"),
    ]  # fmt: skip
    sections = [
        _leaks(found),
        _gap(found, figures),
        _comparison(found, figures),
        _kinds(found),
        _per_image(found, figures),
        _oddest_patches(found, best, figures),
    ]
    return write_page(
        archive,
        name,
        title="Defects: how well they are found",
        finished=datetime.now(UTC),
        run_id=run_id,
        notes=[],
        legend=None,
        tiles=tiles,
        sections=[section for section in sections if section is not None],
    )


def _leaks(found: "Evaluation") -> Section:
    """Say whether something else than defects could make scores look good."""
    suspicious = [leak for leak in found.leaks if leak.is_suspicious]
    if suspicious:
        first = (
            "Beware: what has nothing to do with defects tells them here. A detector that looks "
            "good on a random split may have learnt only this."
        )
    else:
        first = "Neither image, session nor brightness alone tells defects from other patches."
    rows = [
        [leak.what, score(leak.random_auc), score(leak.grouped_auc),
         "beware" if leak.is_suspicious else "", leak.said]
        for leak in found.leaks
    ]  # fmt: skip
    head = ["what is known", "random split", "unseen groups", "", "in words"]
    # The words stand last, beside their numbers; all are text to the table.
    table = Table("ROC-AUC of guessing by this alone; 0.5 is chance", head, rows, 5)
    return Section("leaks", "What could be mistaken for a defect", [Text(first), table])


def _gap(found: "Evaluation", figures: FigureFolder) -> Section | None:
    """Show the headline: how far a random split flatters."""
    both = [(r, r.flattered) for r in found.results if r.flattered is not None]
    if not both:
        return None
    worst, claimed = max(both, key=lambda pair: pair[0].gap)
    text = (
        f"On a random split patches of one image are on both sides, and {worst.method} seems to "
        f"reach a PR-AUC of {claimed.pr_auc.value:.2f}; on {found.split}s that it never saw it "
        f"reaches {worst.measured.pr_auc.value:.2f}."
    )
    figure = split_gap(
        [r.method for r, _ in both],
        [_triple(r.measured.pr_auc) for r, _ in both],
        [f.pr_auc.value for _, f in both],
        prevalence=found.prevalence,
    )
    rows = [
        [r.method, score(f.roc_auc.value), score(r.measured.roc_auc.value),
         score(f.pr_auc.value), score(r.measured.pr_auc.value), f"{r.gap:+.3f}"]
        for r, f in both
    ]  # fmt: skip
    head = ["detector", "ROC random", "ROC unseen", "PR random", "PR unseen", "PR gap"]
    return Section(
        "gap",
        f"Random split against unseen {found.split}s",
        [Text(text), figures.add("split-gap", figure, text), Table("Both splits", head, rows)],
    )


def _comparison(found: "Evaluation", figures: FigureFolder) -> Section:
    rows = [
        [r.method, _interval(r.measured.pr_auc), _percents(r.measured.recall),
         _interval(r.measured.roc_auc), percent(r.recall), percent(r.precision)]
        for r in found.results
    ]  # fmt: skip
    head = ["detector", "PR-AUC", "recall at 1 % false positives", "ROC-AUC",
            "recall at threshold", "precision at threshold"]  # fmt: skip
    caption = f"On unseen {found.split}s, with 95 % intervals over images"
    text = (
        f"{percent(found.prevalence)} of the patches hold a defect, which is the PR-AUC of "
        "guessing. Thresholds are chosen on clean patches of images that are neither learnt from "
        "nor tested on. Patches that only touch a defect do not count."
    )
    figure = curves({r.method: r.curve for r in found.results}, prevalence=found.prevalence)
    drawn = figures.add("curves", figure, "Precision over recall, and recall over false positives")
    return Section("curves", "Detectors", [Table(caption, head, rows), drawn, Text(text)])


def _kinds(found: "Evaluation") -> Section | None:
    kinds = sorted({kind for r in found.results for kind in r.by_kind})
    if len(kinds) < 2:
        return None
    numbers = found.results[0].by_kind
    head = ["detector", *(f"{kind} ({numbers[kind][0]})" for kind in kinds)]
    rows = [[r.method, *(_percents(r.by_kind[kind][1]) for kind in kinds)] for r in found.results]
    caption = "Recall at 1 % false positives by kind; number of patches in brackets"
    return Section("kinds", "Kinds of defects", [Table(caption, head, rows)])


def _per_image(found: "Evaluation", figures: FigureFolder) -> Section:
    best, patches = found.results[0], found.patches
    certain = ~patches.is_doubtful
    names = [str(name) for name in np.unique(patches.images)]
    groups = [certain & (patches.images == name) for name in names]
    rows = []
    for name, own in zip(names, groups, strict=True):
        curve = curve_of(best.unseen.scores[own], patches.is_defect[own])
        flagged = best.unseen.flagged[own]
        rows.append([
            name, str(int(own.sum())), str(int(patches.is_defect[own].sum())),
            str(int((flagged & patches.is_defect[own]).sum())),
            str(int((flagged & ~patches.is_defect[own]).sum())),
            score(curve.roc_auc if curve else None),
        ])  # fmt: skip
    head = ["image", "patches", "with a defect", "found", "false alarms", "ROC-AUC"]
    shown = names[:IMAGES_N]
    figure = image_scores(
        shown,
        [best.unseen.scores[own] for own in groups[:IMAGES_N]],
        [patches.is_defect[own] for own in groups[:IMAGES_N]],
    )
    alt = "Scores of the patches of every image: ticks are normal patches, dots hold a defect"
    return Section(
        "images",
        f"Images one by one ({best.method})",
        [figures.add("image-scores", figure, alt), Text(f"{alt}."),
         Table("By image", head, rows, is_folded=len(rows) > 12)],
    )  # fmt: skip


def _oddest_patches(found: "Evaluation", best: "MethodResult", figures: FigureFolder) -> Section:
    """Show the patches with the highest scores, and the defects with the lowest."""
    patches, scores = found.patches, best.unseen.scores
    blocks: list[Block] = []
    order = np.argsort(-scores, kind="stable")
    missed = order[patches.is_defect[order] & ~best.unseen.flagged[order]][::-1]
    for title, file, rows in [
        ("oddest first", "oddest", order[:GALLERY_N]),
        ("defects below the threshold, lowest score first", "missed", missed[:GALLERY_N]),
    ]:
        if not len(rows):
            continue
        captions = [
            (
                f"{scores[row]:.2f} {_what(found, int(row))}".strip(),
                f"{patches.images[row]}, y {patches.origins_yx[row][0]}, "
                f"x {patches.origins_yx[row][1]} px",
            )
            for row in rows
        ]
        pictures = [ring(show(patches.pixels[row]), None) for row in rows]
        blocks.append(
            draw_patches(
                title,
                pictures,
                captions,
                figures,
                file=file,
                edge_px=patches.edge_px,
                pixel_size_nm=None,
            )
        )
    return Section("oddest", f"The oddest patches ({best.method})", blocks)


def curve_of(scores: NDArray[np.float64], is_defect: NDArray[np.bool_]) -> Curve | None:
    """Return a curve where both classes are there."""
    if not is_defect.any() or is_defect.all():
        return None
    return score_curve(scores, is_defect)


def _what(found: "Evaluation", row: int) -> str:
    if found.patches.is_defect[row]:
        return str(found.kinds[row]) or "defect"
    return "doubtful" if found.patches.is_doubtful[row] else ""


def _triple(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high


def _interval(estimate: Estimate) -> str:
    if np.isnan(estimate.low):
        return score(estimate.value)
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _percents(estimate: Estimate) -> str:
    if np.isnan(estimate.low):
        return percent(estimate.value)
    return f"{percent(estimate.value)} ({percent_between(estimate.low, estimate.high)})"
