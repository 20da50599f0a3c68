"""Reports on defects: what could fool first, then how detectors compare, then the oddest places."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.archive import Archive
from pipelines.defects.patches import normalise
from pipelines.evaluation.anomaly import Curve, Estimate, score_curve
from pipelines.evaluation.anomaly_figures import curves, image_scores, split_gap
from pipelines.evaluation.drawing import SERIES, rgb
from pipelines.evaluation.overlays import contrast_limits, scale_bar, stretch
from pipelines.mosaic.ome_zarr import open_mosaic
from pipelines.records import Window
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
from services.report.embedding import FigureFolder, png_uri
from services.report.images import CROP_PX, Crop, Gallery

if TYPE_CHECKING:
    from services.defects.evaluation import Evaluation, MethodResult
    from services.defects.scoring import ScoredMosaic
    from services.model_registry import RegisteredModel

#: Patches in a gallery, and images whose scores are drawn one by one.
GALLERY_N, IMAGES_N = 24, 40


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
        curve = _curve(best.unseen.scores[own], patches.is_defect[own])
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
        crops = [
            Crop(
                png_uri(_show(patches.pixels[row])),
                [f"{scores[row]:.2f} {_what(found, int(row))}"],
                f"{patches.images[row]}, y {patches.origins_yx[row][0]}, "
                f"x {patches.origins_yx[row][1]} px",
            )
            for row in rows
        ]
        blocks.append(_gallery(title, crops, patches.edge_px, None, figures, file,
                               [_show(patches.pixels[row]) for row in rows]))  # fmt: skip
    return Section("oddest", f"The oddest patches ({best.method})", blocks)


def write_score_report(
    archive: Archive,
    model: "RegisteredModel",
    scored: "Sequence[ScoredMosaic]",
    *,
    seed: int,
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
    curve = _curve(scores[certain], known[certain])
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
    crops, pictures = [], []
    for value, i, k in ranked:
        each = scored[i]
        y, x = (int(v) for v in each.origins_yx[k])
        window = Window(y, x, y + edge, x + edge)
        picture = _ring(
            _show(open_mosaic(archive.mosaic(each.info.name)).read(window)),
            None if each.map is None else open_mosaic(each.map).read(window),
        )
        about = f"{each.info.name}, y {y}, x {x} px"
        kind = str(each.kinds[k]) or ("defect" if each.is_defect[k] else "")
        crops.append(Crop(png_uri(picture), [f"{value:.2f} {kind}".strip()], about))
        pictures.append(picture)
    size = scored[0].info.pixel_size_nm
    block = _gallery("oddest patches first", crops, edge, size, figures, "oddest", pictures)
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


def _gallery(
    title: str, crops: Sequence[Crop], edge_px: int, pixel_size_nm: float | None,
    figures: FigureFolder, file: str, pictures: Sequence[NDArray[np.uint8]],
) -> Gallery:  # fmt: skip
    share, text = scale_bar(float(edge_px), pixel_size_nm)
    columns = 8
    blank = np.full_like(pictures[0], 255)
    padded = [*pictures, *[blank] * (-len(pictures) % columns)]
    lines = [np.hstack(padded[i : i + columns]) for i in range(0, len(padded), columns)]
    return Gallery(
        title=title,
        crops=crops,
        bar_percent=100 * share,
        bar_text=text,
        file=figures.add_pixels(file, np.vstack(lines)),
    )


def _show(patch: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Stretch a patch, slightly smoothed so that the lattice shows through the noise."""
    import cv2
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(normalise(patch[None].astype(np.float32))[0], 1.0)
    low, high = contrast_limits(smooth)
    grey = stretch(smooth, low=low, high=high)
    shown: NDArray[np.uint8] = cv2.resize(grey, (CROP_PX, CROP_PX), interpolation=cv2.INTER_AREA)
    return shown


def _ring(picture: NDArray[np.uint8], oddness: NDArray[np.generic] | None) -> NDArray[np.uint8]:
    """Draw a ring around the oddest place of a patch, and a line around the patch."""
    import cv2

    shown = np.stack([picture] * 3, axis=-1)
    if oddness is not None:
        # A site is shown over several pixels: their middle is the place.
        y, x = np.argwhere(oddness == oddness.max()).mean(axis=0) / len(oddness) * len(picture)
        cv2.circle(shown, (round(x), round(y)), 11, rgb(SERIES[1]), 1, cv2.LINE_AA)
    shown[[0, -1]] = shown[:, [0, -1]] = 255
    return shown


def _what(found: "Evaluation", row: int) -> str:
    if found.patches.is_defect[row]:
        return str(found.kinds[row]) or "defect"
    return "doubtful" if found.patches.is_doubtful[row] else ""


def _curve(scores: NDArray[np.float64], is_defect: NDArray[np.bool_]) -> Curve | None:
    """Return a curve where both classes are there."""
    if not is_defect.any() or is_defect.all():
        return None
    return score_curve(scores, is_defect)


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
