"""Tables of what a segmenter learned, from what the experiments wrote down."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tests.benchmarks.record import write_between_marks

#: What each experiment is called, and the pooled F1 it is to reach; None where it is a comparison.
#: Without a given mask that is 0.10 more than the best recipe alone.
TITLES: dict[tuple[str, str], tuple[str, float | None]] = {
    ("dsb2018", "dsb2018"): ("nuclei: given masks, 5 folds", 0.88),
    ("emps", "emps"): ("particles: given masks, 5 folds", 0.70),
    ("joint", "dsb2018"): ("nuclei: one model for both", None),
    ("joint", "emps"): ("particles: one model for both", None),
    ("few-dsb2018", "dsb2018"): ("nuclei: five given masks", None),
    ("few-emps", "emps"): ("particles: five given masks", None),
    ("weak-dsb2018", "dsb2018"): ("stained nuclei: no given mask", 0.837),
    ("weak-emps", "emps"): ("particles: no given mask", 0.761),
    ("weak-dsb2018", "uncorrected"): ("stained nuclei: no given mask, not corrected", None),
    ("weak-emps", "uncorrected"): ("particles: no given mask, not corrected", None),
    ("weak-dsb2018", "scenes alone"): ("stained nuclei: simulated scenes alone", None),
    ("weak-emps", "scenes alone"): ("particles: simulated scenes alone", None),
    ("stem", "stem-np-boxes"): ("STEM particles: boxes from boxes, 5 folds", 0.40),
}


HEAD = (
    "| what | images | F1 at IoU 0.5, pooled | median | at 0.75 | splits, merges | "
    "with the width given | goal |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
)


def write_tables(results: dict[str, Any]) -> None:
    """Show all rows on one page, those with a goal on another."""
    sets: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for name, result in results.items():
        for part, measured in result["sets"].items():
            sets[name.partition("/")[0], part].append(measured)
    newest = list(results.values())[-1]
    facts = newest["machine"]
    where = f"{newest['at']}, {facts['cores']} cores of {facts['processor']}, no GPU."
    goals = [
        row(title, goal, sets[key], stained=False)
        for key, (title, goal) in TITLES.items()
        if goal and key in sets
    ]
    write_between_marks("segmenter-goals", "\n".join([*HEAD, *goals]))
    rows = [*learned_rows(sets), *recipe_rows(sets)]
    write_between_marks("segmenter", "\n".join([*HEAD, *rows, "", where]))


def learned_rows(sets: Mapping[tuple[str, str], list[dict[str, Any]]]) -> list[str]:
    """Draw a row for each experiment, pooled over all folds that were run."""
    lines = []
    for key, (title, goal) in TITLES.items():
        if key in sets:
            lines.append(row(title, goal, sets[key], stained=False))
            # Where all are stained, the row above says it.
            if key[1] == "dsb2018" and not key[0].startswith("weak"):
                for what, is_stained in (("fluorescence", False), ("stained", True)):
                    only = [split_by_stain(fold, is_stained) for fold in sets[key]]
                    lines.append(row(f"{title}, {what} alone", None, only, stained=False))
    return lines


def recipe_rows(sets: Mapping[tuple[str, str], list[dict[str, Any]]]) -> list[str]:
    """Draw a row for each recipe of thresholds, and one more where some images are stained."""
    lines = []
    for name, part in sets:
        if name.startswith("recipes-"):
            kept = sets[name, part]
            lines.append(row(f"{name[8:]}: recipe {part}", None, kept, stained=False))
            if name == "recipes-dsb2018":
                lines.append(row(f"stained nuclei: recipe {part}", None, kept, stained=True))
    return lines


def row(title: str, goal: float | None, folds: Sequence[dict[str, Any]], *, stained: bool) -> str:
    estimated = [entry for fold in folds for entry in kept(fold, "estimated", stained=stained)]
    given = [entry for fold in folds for entry in kept(fold, "given", stained=stained)]
    told = f"{f1(given, 'matched_50'):.3f}" if given else "-"
    at_75 = f"{f1(estimated, 'matched_75'):.3f}" if "matched_75" in estimated[0] else "-"
    pieces = (
        f"{sum(e['n_split'] for e in estimated)}, {sum(e['n_merged'] for e in estimated)}"
        if "n_split" in estimated[0]
        else "-"
    )
    each = [f1([entry], "matched_50") for entry in estimated]
    # A row says how much of its experiment was run.
    title = title.replace("5 folds", f"{len(folds)} of 5 folds")
    return (
        f"| {title} | {len(estimated)} | {f1(estimated, 'matched_50'):.3f} | "
        f"{np.median(each):.3f} | {at_75} | {pieces} | {told} | {goal or '-'} |"
    )


def kept(fold: dict[str, Any], how: str, *, stained: bool) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = fold.get(how, [])
    if not stained or not entries:
        return entries
    return [e for e, flag in zip(entries, fold["stained"], strict=True) if flag]


def split_by_stain(fold: dict[str, Any], is_stained: bool) -> dict[str, Any]:
    """Keep of a fold the entries of stained images, or those of the others."""
    flags = fold["stained"]
    return {
        how: [e for e, flag in zip(fold[how], flags, strict=True) if flag == is_stained]
        for how in ("estimated", "given")
        if fold.get(how)
    }


def f1(entries: Sequence[dict[str, Any]], matched: str) -> float:
    objects = sum(entry["n_truth"] + entry["n_found"] for entry in entries)
    return 2 * sum(entry[matched] for entry in entries) / max(objects, 1)
