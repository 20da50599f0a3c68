"""Label versions at a million labels: commits, differences and lists, against bare Delta."""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import deltalake
import numpy as np
import pyarrow as pa

from pipelines.archive import create_archive
from pipelines.labels.diff import diff_labels
from pipelines.tables import to_table
from services.label_store import commit_labels, list_versions
from tests.benchmarks.record import Measurement

N_LABELS = 1_000_000
N_MOSAICS = 20
N_CHANGES = 20_000
N_VERSIONS = 1_000
N_REPEATS = 3
_WHO = {"method": "bench", "author": "ada", "run_id": "", "code_version": "1"}


def run() -> list[Measurement]:
    folder = Path(tempfile.mkdtemp(prefix="bench-labels-"))
    try:
        return [*commits(folder), *comparisons(), *a_thousand_versions(folder)]
    finally:
        shutil.rmtree(folder)


def commits(folder: Path) -> list[Measurement]:
    """Commit changes to a million labels, spread over all mosaics."""
    rng = np.random.default_rng(0)
    archive = create_archive(folder / "million")
    commit_labels(archive, rows(np.arange(N_LABELS), "right", "given", rng), **_WHO)
    pairs = []
    for repeat in range(N_REPEATS):
        chosen = np.sort(rng.choice(N_LABELS, N_CHANGES, replace=False))
        changes = rows(chosen, f"left{repeat}", "proposed", rng)
        bare = folder / "bare"
        shutil.rmtree(bare, ignore_errors=True)
        shutil.copytree(archive.table("labels"), bare)
        merge = seconds(lambda bare=bare, changes=changes: merge_bare(bare, changes))
        ours = seconds(lambda changes=changes: commit_labels(archive, changes, **_WHO))
        pairs.append((ours, merge))
    ours, merge = np.min(pairs, axis=0)
    return [
        Measurement(
            f"commit {N_CHANGES:,} changes to {N_LABELS:,} labels",
            f"{ours:.2f} s",
            f"{merge:.2f} s (Delta's own merge)",
            float(ours / merge),
            "at most",
            3.0,
        )
    ]


def comparisons() -> list[Measurement]:
    """Compare two versions of a million labels that were read."""
    rng = np.random.default_rng(0)
    before = rows(np.arange(N_LABELS), "right", "given", rng)
    chosen = np.sort(rng.choice(N_LABELS, N_CHANGES, replace=False))
    stays = np.ones(N_LABELS, dtype=bool)
    stays[chosen] = False
    changes = rows(chosen, "left", "proposed", rng)
    after = pa.concat_tables([before.filter(pa.array(stays)), changes])
    took = min(processor_seconds(lambda: diff_labels(before, after)) for _ in range(N_REPEATS))
    return [
        Measurement(
            f"compare two versions of {N_LABELS:,} labels that are read (processor time)",
            f"{took:.2f} s",
            "2 s",
            took / 2,
            "at most",
            1.0,
        )
    ]


def a_thousand_versions(folder: Path) -> list[Measurement]:
    """List a thousand versions."""
    rng = np.random.default_rng(1)
    archive = create_archive(folder / "thousand")
    for number in range(N_VERSIONS):
        commit_labels(archive, rows(np.array([number % 50]), f"c{number}", "given", rng), **_WHO)
    listing = min(processor_seconds(lambda: list_versions(archive)) for _ in range(N_REPEATS))
    assert len(list_versions(archive)) == N_VERSIONS
    return [
        Measurement(
            f"list {N_VERSIONS:,} label versions (processor time)",
            f"{listing:.2f} s",
            "1 s",
            listing,
            "at most",
            1.0,
        )
    ]


def merge_bare(path: Path, changes: pa.Table) -> None:
    """Merge rows as a user of Delta would, without digests or rules."""
    deltalake.DeltaTable(str(path)).merge(
        changes,
        "old.particle_id = new.particle_id",
        source_alias="new",
        target_alias="old",
    ).when_matched_update_all().when_not_matched_insert_all().execute()


def rows(ids: np.ndarray, label: str, state: str, rng: np.random.Generator) -> pa.Table:
    n = len(ids)
    per_mosaic = N_LABELS // N_MOSAICS
    return to_table(
        "labels",
        {
            "particle_id": ids,
            "mosaic": [f"mosaic-{number:02d}" for number in ids // per_mosaic],
            "instance": ids % per_mosaic + 1,
            "segmentation": ["0123456789abcdef0123456789abcdef"] * n,
            "label": [label] * n,
            "state": [state] * n,
            "source": ["bench"] * n,
            "method": ["bench"] * n,
            "confidence": rng.random(n),
            "reason": [f"because of {number}" for number in ids],
        },
    )


def processor_seconds(work: Callable[[], object]) -> float:
    """Time work against a goal in seconds, which other programs must not spoil."""
    start = time.process_time()
    work()
    return time.process_time() - start


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
