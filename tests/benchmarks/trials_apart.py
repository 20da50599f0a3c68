"""``python -m tests.benchmarks.trials_apart``: a sweep's trials on a machine with PyTorch alone.

A machine with a fast accelerator may have neither Ray nor MLflow nor the archive. There, trials
need nothing but the study set and this file:

    plan ARCHIVE PRESET [--data FOLDER] >> trials.jsonl     here: trials that have no result yet
    run trials.jsonl OUT --processes 14 --seconds 500       there, in the order of the file
    take OUT ARCHIVE                                        here; then `tessera sweep` has them

``run`` looks for study sets in the folder `studies` beside the file of trials, by their digests.
"""

import argparse
import json
import multiprocessing
import os
import queue
import shutil
import statistics
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from pipelines.sweeps.plan import NetworkChoice, Trial, Variant, plan_trials
from pipelines.sweeps.study_set import read_study_set
from pipelines.sweeps.trial import PREDICTIONS_FILE, RESULT_FILE, run_trial
from pipelines.training.loop import LoopSettings


def main() -> None:
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(required=True, dest="verb")
    plan = verbs.add_parser("plan")
    plan.add_argument("archive", type=Path)
    plan.add_argument("preset")
    plan.add_argument("--data", type=Path)
    plan.add_argument("--epochs", type=int)
    plan.add_argument("--noise")
    plan.add_argument("--error-rate", type=float, action="append", default=[])
    plan.add_argument("--method", action="append", default=[])
    plan.add_argument("--seeds", type=int)
    run = verbs.add_parser("run")
    run.add_argument("trials", type=Path)
    run.add_argument("out", type=Path)
    run.add_argument("--processes", type=int, default=os.cpu_count())
    run.add_argument("--seconds", type=float, default=3600.0)
    take = verbs.add_parser("take")
    take.add_argument("out", type=Path)
    take.add_argument("archive", type=Path)
    given = parser.parse_args()
    if given.verb == "plan":
        print_plan(given)
    elif given.verb == "run":
        run_all(given.trials, given.out, n_processes=given.processes, seconds=given.seconds)
    else:
        take_results(given.out, given.archive)


def print_plan(given: argparse.Namespace) -> None:
    """Print a sweep's trials that have no result, a line of JSON each."""
    from pipelines.archive import open_archive
    from services.sweeping.data import prepare_study
    from services.verbs.sweep import Settings

    flags = {
        "archive": given.archive,
        "preset": given.preset,
        "data": given.data,
        "epochs": given.epochs,
        "noise": given.noise,
        "error_rate": tuple(given.error_rate),
        "method": tuple(given.method),
        "seeds": given.seeds,
    }
    settings = Settings.load("sweep", None, {k: v for k, v in flags.items() if v})
    archive = open_archive(given.archive)
    preset, plan = settings.planned
    study = prepare_study(archive, preset.data, settings)
    for trial in plan_trials(plan):
        key = trial.key(study.digest)
        if not (archive.scratch / "sweeps" / key / RESULT_FILE).exists():
            line = {"key": key, "study": study.digest, "trial": asdict(trial)}
            print(json.dumps(line))
    print(f"study set {study.digest}: {study.folder}", file=sys.stderr)


def read_trial(values: dict[str, Any]) -> Trial:
    """Make a trial of what `asdict` made of it."""
    parts = {
        "variant": Variant(**values["variant"]),
        "loop": LoopSettings(**values["loop"]),
        "network": NetworkChoice(**values["network"]),
    }
    return Trial(**{**values, **parts})


def run_all(trials: Path, out: Path, *, n_processes: int, seconds: float) -> None:
    """Run trials side by side, each process one after another, until the time is over."""
    lines = [json.loads(line) for line in trials.read_text().splitlines()]
    context = multiprocessing.get_context("spawn")
    todo: Any = context.Queue()
    for number, line in enumerate(lines):
        if not (out / line["key"] / RESULT_FILE).exists():
            todo.put(number)
    started = time.monotonic()
    workers = [
        context.Process(target=work, args=(trials, out, todo), daemon=True)
        for _ in range(n_processes)
    ]
    for worker in workers:
        worker.start()
    while any(w.is_alive() for w in workers) and time.monotonic() - started < seconds:
        time.sleep(1)
        done = len(list(out.glob(f"*/{RESULT_FILE}")))
        sys.stderr.write(f"\r{done}/{len(lines)} trials, {time.monotonic() - started:.0f} s")
    for worker in workers:
        worker.kill()
    sys.stderr.write("\n")


def work(trials: Path, out: Path, todo: Any) -> None:
    """Run what is left to do in one process."""
    torch.set_num_threads(1)
    torch.backends.cudnn.benchmark = True
    lines = trials.read_text().splitlines()
    while True:
        try:
            number = todo.get(timeout=1)
        except queue.Empty:
            return
        line = json.loads(lines[number])
        folder = out / line["key"]
        try:
            study = read_study_set(trials.parent / "studies" / line["study"])
            run_trial(study, read_trial(line["trial"]), folder)
        except Exception as error:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "error.txt").write_text(repr(error))
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)


def take_results(out: Path, archive: Path) -> None:
    """Put results where the sweep looks for them; say how those differ that it has already."""
    from pipelines.archive import open_archive

    folder = open_archive(archive).scratch / "sweeps"
    n_taken, differences = 0, []
    for found in sorted(out.glob(f"*/{RESULT_FILE}")):
        place = folder / found.parent.name
        if (place / RESULT_FILE).exists():
            last, ours = (read_last(path) for path in (found, place / RESULT_FILE))
            differences.append(last - ours)
        else:
            place.mkdir(parents=True, exist_ok=True)
            # The result last: with it the trial is done.
            for name in (PREDICTIONS_FILE, RESULT_FILE):
                shutil.copy(found.with_name(name), place / name)
            n_taken += 1
    print(f"taken={n_taken} had={len(differences)}", end="")
    if differences:
        sizes = [abs(difference) for difference in differences]
        mean, size = statistics.mean(differences), statistics.mean(sizes)
        print(f" mean={mean:+.4f} mean_size={size:.4f} largest={max(sizes):.4f}", end="")
    print()


def read_last(path: Path) -> float:
    """Read the headline of a result."""
    last: float = json.loads(path.read_text())["last"]
    return last


if __name__ == "__main__":
    main()
