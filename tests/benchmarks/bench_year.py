"""Thirty nights of a laboratory, with all that happens in a year; what became of the champion.

The population drifts; on night 16 the instrument changes (brighter, and other pixels); one night
brings corrupt files, one is killed half way, on one somebody has decided every label wrong, two
bring nothing. Every night's figures go to ``year.json`` beside this file.
"""

import json
import os
import tempfile
import time
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import zarr

from cluster.session import connect
from services.label_check import verify_versions
from services.label_store import list_versions, read_labels, rollback
from services.nightly.plans import read_left
from tests.benchmarks.record import HERE, Measurement, machine
from tests.laboratory import REFERENCE, Laboratory

RESULTS = HERE / "year.json"
N_NIGHTS = 30
NEW_INSTRUMENT, CORRUPT, KILLED, SABOTAGED, QUIET = 16, 8, 12, 20, (6, 24)
LATER = "later"
SETTINGS = """
assume = "right"
hold_out = ["reference", "later"]
epochs = 6
input_px = 24
learning_rate = 0.01

[cluster]
workers = 1

[relabel]
settle_s = 0
warm_start = true

[clean]
folds = 2
repeats = 1

[train]
test_share = 0.1
"""


def run() -> list[Measurement]:
    with tempfile.TemporaryDirectory() as folder, _home(Path(folder)), connect("local", num_cpus=2):
        lab = Laboratory(Path(folder)).open(SETTINGS, particles=160)
        start = time.monotonic()
        nights = [_night(lab, number) for number in range(1, N_NIGHTS + 1)]
        seconds = time.monotonic() - start
        restored = _restores_bytes(lab)
        verified = verify_versions(lab.archive).damaged_version is None
    result = {
        "machine": machine(),
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "seconds": round(seconds),
        "verified": verified,
        "rollback_restores": restored,
        "nights": nights,
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    return measurements(result)


def measurements(result: dict[str, object]) -> list[Measurement]:
    """Sum up what was reached."""
    nights = result["nights"]
    falls = [
        before[of] - after[of]
        for of in (REFERENCE, LATER)
        for before, after in pairwise(n["accuracy"] for n in nights)
        if of in before and of in after
    ]
    worst = 100 * max(0.0, *falls)
    bad = sum(n["promoted"] for n in nights if n["night"] == SABOTAGED)
    without = sum(not n["has_report"] for n in nights)
    failures = without + (not result["verified"]) + (not result["rollback_restores"])
    n = len(nights)
    return [
        Measurement(
            f"champion's largest fall on truth from one night to the next, {n} nights",
            f"{worst:.1f} points", "1 point", worst, "at most", 1.0,
        ),
        Measurement(
            f"bad candidates promoted, {n} nights", str(bad), "none", float(bad), "at most", 0.0
        ),
        Measurement(
            f"nights without report, label versions damaged or not restored, {n} nights",
            str(failures), "none", float(failures), "at most", 0.0,
        ),
    ]  # fmt: skip


def _night(lab: Laboratory, number: int) -> dict[str, object]:
    """Let one night happen, and say what came of it."""
    name = f"night-{number:02d}"
    if number == CORRUPT:
        (lab.scans / "broken.tif").write_bytes(b"II*\0" + bytes(range(200)))
        (lab.scans / "empty.png").write_bytes(b"")
    if number == NEW_INSTRUMENT:
        # A sample of known class under the new instrument: only to see how models fare there.
        order = {"folder": lab.folder, "left": 0.5, "particles": 60, "size_px": 1024}
        lab.take_in(_scan(lab, LATER, seed=200, later=True, **order))
    if number == SABOTAGED:
        lab.sabotage()
    if number == SABOTAGED + 1:
        _undo_sabotage(lab)
    if number not in QUIET:
        # From 15 to 35 % of the wrong hand over the year.
        left = 0.15 + 0.2 * number / N_NIGHTS
        _scan(lab, name, seed=number, later=number >= NEW_INSTRUMENT, left=left)
    if number == KILLED:
        _kill_half_way(lab, name)
    start = time.monotonic()
    outcome = lab.relabel(name)
    seconds = time.monotonic() - start
    values = outcome.values
    champion = values.get("champion") or read_left(lab.archive).champion
    of = [REFERENCE, *([LATER] if number >= NEW_INSTRUMENT else [])]
    row = {
        "night": number,
        "seconds": round(seconds, 1),
        "status": outcome.status,
        "changes": values["changes"],
        "candidate": values.get("candidate", "none"),
        "champion": champion,
        "promoted": values.get("promoted", False),
        "why": values.get("why", ""),
        "drift": values.get("drift", ""),
        "has_report": Path(values["report"]).is_file(),
        "accuracy": {name: lab.accuracy_of(champion, name) for name in of}
        if champion not in ("", "none")
        else {},
    }
    print(json.dumps(row), flush=True)
    return row


def _scan(lab: Laboratory, name: str, *, seed: int, later: bool, **order: object) -> Path:
    """Let the instrument write a mosaic; the later one has larger pixels and is brighter."""
    size = {"pixel_size_nm": 2.3} if later else {}
    order = {"size_px": 768, "particles": 24, **order, **size}
    path = lab.scan(name, seed=seed, **order)
    if later:
        pixels = zarr.open_array(str(path / "0"), mode="r+")
        pixels[...] = np.clip(1.25 * pixels[...].astype(float) + 10, 0, 255).astype(np.uint8)
    return path


def _kill_half_way(lab: Laboratory, name: str) -> None:
    process = lab.begin(name)
    while not ((journal := lab.journal(name)) and journal.values("clean")):
        if process.poll() is not None:
            raise RuntimeError(lab.said(name))
        time.sleep(0.05)
    process.kill()
    process.wait()


def _undo_sabotage(lab: Laboratory) -> None:
    sabotage = next(v for v in list_versions(lab.archive) if v.method == "sabotage")
    rollback(lab.archive, sabotage.parent_version, author="ada", code_version="1")


def _restores_bytes(lab: Laboratory) -> bool:
    """Go back to the middle of the year, and compare what is there then."""
    versions = list_versions(lab.archive)
    good = versions[len(versions) // 2]
    made = rollback(lab.archive, good.version, author="ada", code_version="1")
    same = read_labels(lab.archive, made.version).equals(read_labels(lab.archive, good.version))
    return bool(same and made.digest == good.digest)


class _home:
    """A home of the benchmark's own: Ray and MLflow write into it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        self._before = os.environ.get("HOME")
        os.environ["HOME"] = str(self._folder)

    def __exit__(self, *error: object) -> None:
        if self._before is not None:
            os.environ["HOME"] = self._before
