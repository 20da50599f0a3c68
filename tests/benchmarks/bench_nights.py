"""What a night costs, against the same work by hand; and ten kills at random moments."""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cluster.session import connect
from services.verbs import clean, ingest, label, predict, segment, train
from tests.benchmarks.record import Measurement
from tests.laboratory import QUICK, Laboratory, contents, is_done

N_MOSAICS = 20
N_KILLS = 10
PATIENCE_S = 900.0
NIGHT = "night"


def run() -> list[Measurement]:
    with tempfile.TemporaryDirectory() as folder:
        return [*_costs(Path(folder) / "costs"), _kills(Path(folder) / "kills")]


def _costs(folder: Path) -> list[Measurement]:
    """Add one mosaic to an archive of 20: by a night, and by the verbs one after another."""
    folder.mkdir()
    with connect("local", num_cpus=2):
        lab = Laboratory(folder).open(QUICK)
        for number in range(N_MOSAICS):
            lab.scan(f"m{number:02d}", seed=number, particles=40, size_px=768)
        lab.relabel("first")
        new = lab.scan("new", seed=99, particles=40, size_px=768)
        by_hand = folder / "by-hand"
        shutil.copytree(lab.root, by_hand)
        baseline = _seconds(lambda: _by_hand(lab, by_hand, new))
        night = _seconds(lambda: lab.relabel(NIGHT))
        quiet = _seconds(lambda: lab.relabel("quiet"))
    return [
        Measurement(
            f"a night with 1 new mosaic in an archive of {N_MOSAICS}, against that mosaic alone "
            "and training",
            f"{night:.1f} s", f"{baseline:.1f} s", night / baseline, "at most", 1.5,
        ),
        Measurement(
            f"a night without news in an archive of {N_MOSAICS}",
            f"{quiet:.2f} s", "10 s", quiet / 10, "at most", 1.0,
        ),
    ]  # fmt: skip


def _by_hand(lab: Laboratory, root: Path, new: Path) -> None:
    """Take in the new mosaic in an archive of its own; then clean and train on all of them."""
    stages = lab.settings("unused").stages
    alone = root.parent / "alone"
    ingest.execute(ingest.Settings(archive=alone, sources=(new,)))
    segment.execute(segment.Settings(archive=alone, workers=1))
    label.execute(label.Settings(archive=alone, assume="right"))
    # The large archive has the mosaic already when it learns: that is not what is measured.
    for verb, name in ((clean, "clean"), (train, "train")):
        verb.execute(stages[name].model_copy(update={"archive": root, "seed": 1}))
    newest = {"archive": root, "model": "classifier@candidate", "mosaic": ("m00",)}
    predict.execute(stages["predict"].model_copy(update=newest))


def _kills(folder: Path) -> Measurement:
    """Kill a night at ten random moments, each in a copy of its own; count what ends otherwise."""
    folder.mkdir()
    base = folder / "base"
    base.mkdir()
    with connect("local", num_cpus=2):
        lab = Laboratory(base).open(QUICK)
    lab.scan("a", seed=1)
    lab.scan("b", seed=2)
    whole = _copy(base, folder / "undisturbed")
    seconds = _seconds(lambda: _finish(whole))
    expected = contents(whole.archive)
    moments = np.sort(np.random.default_rng(5).uniform(0.02, 0.98, N_KILLS)) * seconds
    wrong = 0
    for number, moment in enumerate(moments):
        lab = _copy(base, folder / f"killed-{number}")
        process = lab.begin(NIGHT)
        time.sleep(moment)
        process.kill()
        process.wait()
        journal = lab.journal(NIGHT)
        done = [step.name for step in journal.steps] if journal else []
        _finish(lab)
        found = contents(lab.archive)
        differ = [what for what, values in expected.items() if found[what] != values]
        print(f"killed after {moment:.1f} of {seconds:.1f} s, with {done}: {differ}", flush=True)
        wrong += bool(differ)
    return Measurement(
        f"nights killed at {N_KILLS} random moments that end otherwise than undisturbed",
        str(wrong), "none", float(wrong), "at most", 0.0,
    )  # fmt: skip


def _copy(base: Path, folder: Path) -> Laboratory:
    """Copy a laboratory; all look at the same scans, whose paths are in the ledger."""
    shutil.copytree(base, folder, ignore=shutil.ignore_patterns("scans"))
    (folder / "scans").symlink_to(base / "scans")
    return Laboratory(folder)


def _finish(lab: Laboratory) -> None:
    if lab.begin(NIGHT).wait(PATIENCE_S) != 0 or not is_done(lab.journal(NIGHT)):
        raise RuntimeError(lab.said(NIGHT))


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
