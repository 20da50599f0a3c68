"""``python -m tests.benchmarks.bench_segmenter DATA [--only NAME]``: what a segmenter learns.

Every fold of every experiment is fitted, measured and written down by itself, so an interrupted
run goes on, and whoever has more time lets more of them run. ``--only dsb2018/0`` runs one fold.
DATA holds dsb2018, emps and stem-np-boxes; figures go to ``segmenter.json`` and the pages.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import torch

from pipelines.randomness import generator
from pipelines.segmentation.learned.images import Segmenter
from pipelines.segmenter.box_masks import draw_box_masks
from pipelines.segmenter.files import read_result
from pipelines.segmenter.fit import fit_on_team
from pipelines.segmenter.material import write_scenes, write_source, write_weak_sources
from pipelines.segmenter.plan import FitPlan, Source
from pipelines.segmenter.weak_masks import RECIPES, draw_weak_masks, segment_by
from pipelines.training.team import Team
from tests.benchmarks.record import HERE, machine
from tests.benchmarks.segmenter_counts import box_counts, counts, measure, pooled
from tests.benchmarks.segmenter_sets import (
    read_boxed,
    read_pictures,
    typical_box_px,
)
from tests.benchmarks.segmenter_speed import run
from tests.benchmarks.segmenter_tables import write_tables

__all__ = ["run"]

RESULTS = HERE / "segmenter.json"
N_FOLDS = 5
#: Scenes; and, where the network compares with what is around, those on a support.
N_SCENES, N_ON_SUPPORT = 240, 80
#: Steps of a fit: of the first one on scenes alone, and of those that begin with its weights.
BASE_STEPS = 2000
STEPS = {"dsb2018": 400, "emps": 300, "joint": 500, "few": 150, "weak": 400, "stem": 200}
#: Correction begins some epochs after a fit does: that of weak masks has short ones.
EPOCH_STEPS, WEAK_EPOCH_STEPS = 50, 25


@dataclass(frozen=True)
class Bench:
    """Where images are, and where fits and figures go."""

    data: Path
    work: Path

    def truth_sources(self, name: str) -> list[Source]:
        folder = self.work / "sources"
        return [
            write_source(folder, f"{name}-{p.name}", "truth", p.image, p.instances)
            for p in read_pictures(self.data, name)
        ]

    def scenes(self) -> list[Source]:
        return write_scenes(self.work / "sources", N_SCENES, seed=1)

    def fit(self, name: str, plan: FitPlan) -> Path:
        folder = self.work / "fits" / name
        if not (folder / "result.json").exists() or (
            read_result(folder).digests["plan"] != plan.digest
        ):
            fit_on_team(plan, folder, Team())
        return read_result(folder).model

    def scenes_and_supported(self) -> list[Source]:
        folder = self.work / "sources"
        return [*self.scenes(), *write_scenes(folder, N_ON_SUPPORT, seed=1, on_support=True)]

    def base(self) -> Path:
        return self.fit("base", plan_of(self.scenes(), BASE_STEPS))

    def comparing_base(self) -> Path:
        plan = plan_of(self.scenes_and_supported(), BASE_STEPS, local_contrast=True)
        return self.fit("comparing-base", plan)

    def started(self, name: str, sources: Sequence[Source], n_steps: int, **more: Any) -> Path:
        return self.fit(name, plan_of(sources, n_steps, start=self.base(), **more))


def plan_of(
    sources: Sequence[Source], n_steps: int, *, epoch_steps: int = EPOCH_STEPS, **more: Any
) -> FitPlan:
    n_epochs = max(1, round(n_steps / epoch_steps))
    return FitPlan(tuple(sources), n_epochs=n_epochs, steps_per_epoch=n_steps // n_epochs, **more)


def run_folds(bench: Bench, name: str, fold: int) -> dict[str, Any]:
    pictures, sources = read_pictures(bench.data, name), bench.truth_sources(name)
    training = [s for i, s in enumerate(sources) if i % N_FOLDS != fold]
    model = bench.started(f"{name}-{fold}", training, STEPS[name])
    return {name: measure(model, pictures[fold::N_FOLDS])}


def run_joint(bench: Bench, fold: int) -> dict[str, Any]:
    training = []
    for name in ("dsb2018", "emps"):
        sources = bench.truth_sources(name)
        training += [s for i, s in enumerate(sources) if i % N_FOLDS != fold]
    model = bench.started(f"joint-{fold}", training, STEPS["joint"])
    return {
        name: measure(model, read_pictures(bench.data, name)[fold::N_FOLDS])
        for name in ("dsb2018", "emps")
    }


def run_few(bench: Bench, name: str, fold: int) -> dict[str, Any]:
    """Five masks of a fold's training images, and scenes."""
    pictures, sources = read_pictures(bench.data, name), bench.truth_sources(name)
    training = [s for i, s in enumerate(sources) if i % N_FOLDS != fold]
    chosen = generator(fold, "few", name).choice(len(training), 5, replace=False)
    few = [training[i] for i in sorted(chosen.tolist())]
    model = bench.started(f"few-{name}-{fold}", [*few, *bench.scenes()], STEPS["few"])
    return {name: measure(model, pictures[fold::N_FOLDS])}


def run_weak(bench: Bench, name: str, _: int) -> dict[str, Any]:
    """No given mask: classical masks of all images, corrected or not, and scenes."""
    pictures = [p for p in read_pictures(bench.data, name) if name != "dsb2018" or p.stained]
    sources = write_weak_sources(
        bench.work / "sources", {f"weak-{name}-{p.name}": p.image for p in pictures}
    )
    models = {
        part: bench.started(
            f"weak-{name}-{correct_early}",
            [*sources, *bench.scenes()],
            STEPS["weak"],
            epoch_steps=WEAK_EPOCH_STEPS,
            correct_early=correct_early,
        )
        for part, correct_early in ((name, True), ("uncorrected", False))
    }
    models["scenes alone"] = bench.base()
    return {part: measure(model, pictures) for part, model in models.items()}


def run_recipes(bench: Bench, name: str, _: int) -> dict[str, Any]:
    """Every classical recipe alone, and all together, for comparison."""
    pictures = read_pictures(bench.data, name)
    found: dict[str, Any] = {
        recipe: [counts(p, segment_by(recipe, p.image)) for p in pictures] for recipe in RECIPES
    }
    found["together"] = [counts(p, draw_weak_masks(p.image).instances) for p in pictures]
    return {
        recipe: {
            "images": [p.name for p in pictures],
            "stained": [p.stained for p in pictures],
            "estimated": values,
        }
        for recipe, values in found.items()
    }


def run_stem(bench: Bench, fold: int) -> dict[str, Any]:
    pictures = read_boxed(bench.data)
    sources = []
    for index, p in enumerate(pictures):
        if index % N_FOLDS != fold:
            instances, confidence = draw_box_masks(p.image, p.boxes)
            folder = bench.work / "sources"
            sources.append(
                write_source(
                    folder, f"stem-{p.name}", "weak", p.image, instances, confidence=confidence
                )
            )
    training = [*sources, *bench.scenes_and_supported()]
    # Boxes are not masks that a network could see through, but they are not wrong either.
    plan = plan_of(
        training,
        STEPS["stem"],
        start=bench.comparing_base(),
        local_contrast=True,
        correct_early=False,
    )
    segmenter = Segmenter.open(bench.fit(f"stem-{fold}", plan), torch.device("cpu"))
    kept_back = pictures[fold::N_FOLDS]
    return {
        "stem-np-boxes": {
            "images": [p.name for p in kept_back],
            "estimated": [box_counts(p, segmenter.segment(p.image)) for p in kept_back],
            "given": [
                box_counts(p, segmenter.segment(p.image, width_px=typical_box_px(p.boxes)))
                for p in kept_back
            ],
        }
    }


def folds_of(run: Callable[[Bench, int], dict[str, Any]], name: str) -> dict[str, Any]:
    return {f"{name}/{fold}": lambda bench, fold=fold: run(bench, fold) for fold in range(N_FOLDS)}


def experiments() -> dict[str, Callable[[Bench], dict[str, Any]]]:
    """List all experiments, the most telling first."""
    found: dict[str, Any] = {}
    found["recipes-emps/0"] = lambda bench: run_recipes(bench, "emps", 0)
    found |= folds_of(lambda bench, fold: run_folds(bench, "dsb2018", fold), "dsb2018")
    found |= folds_of(lambda bench, fold: run_folds(bench, "emps", fold), "emps")
    found["weak-emps/0"] = lambda bench: run_weak(bench, "emps", 0)
    found |= folds_of(run_stem, "stem")
    found["recipes-dsb2018/0"] = lambda bench: run_recipes(bench, "dsb2018", 0)
    found["weak-dsb2018/0"] = lambda bench: run_weak(bench, "dsb2018", 0)
    found |= folds_of(lambda bench, fold: run_few(bench, "emps", fold), "few-emps")
    found |= folds_of(lambda bench, fold: run_few(bench, "dsb2018", fold), "few-dsb2018")
    found |= folds_of(run_joint, "joint")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", default="", help="experiments whose name begins so")
    parser.add_argument("--work", type=Path, default=Path("benchmark-results/segmenter"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    bench = Bench(arguments.data, arguments.work)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name, experiment in experiments().items():
        if not name.startswith(arguments.only) or name in results:
            continue
        started = time.process_time()
        found = experiment(bench)
        results[name] = {
            "machine": machine(),
            "at": datetime.now(UTC).isoformat(timespec="minutes"),
            "cpu_s": round(time.process_time() - started),
            "sets": found,
        }
        RESULTS.write_text(json.dumps(results, indent=None, separators=(",", ":")) + "\n")
        for part, measured in found.items():
            print(name, part, pooled(measured["estimated"]), flush=True)
    write_tables(results)


if __name__ == "__main__":
    main()
