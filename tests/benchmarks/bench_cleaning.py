"""Cleaning with probabilities given, against calling cleanlab on them directly."""

import time
from collections.abc import Callable

import numpy as np
from cleanlab.filter import find_label_issues as find_with_cleanlab
from scipy.special import expit

from pipelines.labels.audit import CanaryReport
from pipelines.labels.issues import find_label_issues
from pipelines.tables import to_table
from services.cleaning.judging import judge_labels
from services.cleaning.rows import to_rows
from tests.benchmarks.record import Measurement

N_SAMPLES = 100_000
N_REPEATS = 7


def run() -> list[Measurement]:
    rng = np.random.default_rng(0)
    true = rng.integers(2, size=N_SAMPLES)
    given = np.where(rng.random(N_SAMPLES) < 0.2, 1 - true, true)
    of_class_1 = expit(4 * (rng.normal(size=N_SAMPLES) + 2 * (2 * true - 1)))
    probs = np.stack([1 - of_class_1, of_class_1], axis=1)
    ids = rng.permutation(N_SAMPLES)
    rows = to_table(
        "labels",
        {
            "particle_id": ids,
            "mosaic": ["m"] * N_SAMPLES,
            "instance": ids,
            "segmentation": ["s"] * N_SAMPLES,
        },
    ).select(["particle_id", "mosaic", "instance", "segmentation"])
    states = np.full(N_SAMPLES, "given")
    nobody = np.full(N_SAMPLES, -1)

    def clean() -> None:
        issues = find_label_issues(given, probs, ids, mirrored_class=[1, 0], rng=rng)
        judged = judge_labels(
            classes=["left", "right"],
            rows=rows,
            given_labels=given,
            true_labels=nobody,
            pred_probs=probs,
            issues=issues,
            reviewed=nobody,
            n_truth_audited=0,
            precision=0.95,
            canaries=CanaryReport(0, 0, (0.0, 1.0), 0.0),
            seed=0,
        )
        to_rows(judged, states, method="prune_by_noise_rate")

    pairs = [
        [seconds(clean), seconds(lambda: find_with_cleanlab(given, probs))]
        for _ in range(N_REPEATS)
    ]
    ours, baseline = np.min(pairs, axis=0)
    return [
        Measurement(
            f"clean {N_SAMPLES:,} labels of 2 classes, probabilities given",
            f"{ours * 1e3:.0f} ms",
            f"{baseline * 1e3:.0f} ms (cleanlab)",
            float(ours / baseline),
            "at most",
            2.0,
        )
    ]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
