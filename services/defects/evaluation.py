"""Compare detectors on images that they never saw, and say how much a random split flatters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.defects.catalogue import get_detector
from pipelines.defects.leaks import Leak, find_leaks
from pipelines.defects.patches import Patches
from pipelines.defects.protocol import Judged, cross_judge, grouped_folds, random_folds
from pipelines.errors import SettingsError
from pipelines.evaluation.anomaly import Curve, Estimate, bootstrap_over, score_curve
from pipelines.randomness import generator

#: The share of normal patches that may be flagged where recall is told.
FALSE_POSITIVE_RATE = 0.01


@dataclass(frozen=True)
class Measured:
    """How good scores are: areas and recall at 1 % false positives, with 95 % intervals."""

    roc_auc: Estimate
    pr_auc: Estimate
    recall: Estimate


@dataclass(frozen=True)
class MethodResult:
    """What a detector reached.

    Attributes
    ----------
    method : str
        The detector.
    unseen : Judged
        Scores on images (sessions) that it never saw.
    curve : Curve
        Of these.
    measured : Measured
        Figures on unseen images.
    flattered : Measured or None
        Figures on a random split of patches; None if it was not asked for.
    by_kind : mapping of str to (int, Estimate)
        Number of patches of each kind of defect, and the recall among them.
    precision, recall : float
        At the thresholds that were chosen inside the folds.
    """

    method: str
    unseen: Judged
    curve: Curve
    measured: Measured
    flattered: Measured | None
    by_kind: dict[str, tuple[int, Estimate]]
    precision: float
    recall: float

    @property
    def gap(self) -> float:
        """How much more precise a random split makes it look; nan where there is none."""
        if self.flattered is None:
            return float("nan")
        return self.flattered.pr_auc.value - self.measured.pr_auc.value


@dataclass(frozen=True)
class Evaluation:
    """All that an evaluation found."""

    results: list[MethodResult]
    leaks: list[Leak]
    patches: Patches
    kinds: NDArray[np.str_]
    split: str

    @property
    def prevalence(self) -> float:
        """Share of patches with a defect, among those that count."""
        certain = ~self.patches.is_doubtful
        return float(self.patches.is_defect[certain].mean())


def evaluate(
    patches: Patches,
    kinds: NDArray[np.str_],
    methods: Sequence[str],
    *,
    split: str,
    n_folds: int,
    random_split_too: bool,
    false_alarms_per_image: float,
    seed: int,
    on_fold: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Judge every patch by detectors that learnt from other images.

    Parameters
    ----------
    patches, kinds
        What is judged.
    methods : sequence of str
        Names of detectors.
    split : {"image", "session"}
        What is kept together.
    n_folds : int
        Folds; fewer if there are fewer groups.
    random_split_too : bool
        Whether each detector is also judged on a random split of patches, as a warning.
    false_alarms_per_image : float
        Patches that a threshold may flag in a clean image, on average.
    seed : int
        Of everything random.
    on_fold : callable
        Called after each fold.

    Raises
    ------
    SettingsError
        If there is no defect to find, or there are too few groups.
    """
    if not patches.is_defect.any():
        raise SettingsError("--labels name no defect in these mosaics: there is nothing to find")
    groups = patches.images if split == "image" else patches.sessions
    folds = grouped_folds(groups, n_folds, seed=seed)
    alone = np.array([f"patch-{i}" for i in range(len(patches))])
    n_images = len(np.unique(patches.images))
    rate = min(false_alarms_per_image * n_images / len(patches), 0.5)
    results = []
    for name in methods:
        detector = get_detector(name)

        def judge(
            by: NDArray[np.int64], keep: NDArray[np.str_], detector: Any = detector
        ) -> Judged:
            return cross_judge(
                detector,
                patches,
                by,
                keep,
                false_positive_rate=rate,
                seed=seed,
                on_fold=on_fold,
            )

        unseen = judge(folds, groups)
        flattered = None
        if random_split_too:
            at_random = random_folds(len(patches), int(folds.max()) + 1, seed=seed)
            flattered = measure(patches, judge(at_random, alone).scores, seed=seed)
        results.append(_result(name, patches, kinds, unseen, flattered, seed=seed))
    certain = ~patches.is_doubtful
    leaks = find_leaks(
        patches.pixels[certain],
        patches.is_defect[certain],
        patches.images[certain],
        patches.sessions[certain],
        rng=generator(seed, "leaks"),
    )
    results.sort(key=lambda result: -result.measured.pr_auc.value)
    return Evaluation(results, leaks, patches, kinds, split)


def measure(patches: Patches, scores: NDArray[np.float64], *, seed: int) -> Measured:
    """Measure scores, with intervals over images; doubtful patches do not count."""
    certain = ~patches.is_doubtful
    truth, values, images = patches.is_defect[certain], scores[certain], patches.images[certain]
    measures: dict[str, Callable[[Curve], float]] = {
        "roc_auc": lambda curve: curve.roc_auc,
        "pr_auc": lambda curve: curve.pr_auc,
        "recall": lambda curve: curve.recall_at(FALSE_POSITIVE_RATE),
    }
    return Measured(
        **{
            name: bootstrap_over(images, values, truth, of, rng=generator(seed, "bootstrap", name))
            for name, of in measures.items()
        }
    )


def _result(
    name: str,
    patches: Patches,
    kinds: NDArray[np.str_],
    unseen: Judged,
    flattered: Measured | None,
    *,
    seed: int,
) -> MethodResult:
    certain = ~patches.is_doubtful
    by_kind = {}
    for kind in sorted(set(kinds[patches.is_defect].tolist())):
        own = certain & (~patches.is_defect | (kinds == kind))
        by_kind[kind or "defect"] = (
            int((patches.is_defect & (kinds == kind)).sum()),
            bootstrap_over(
                patches.images[own],
                unseen.scores[own],
                patches.is_defect[own],
                lambda curve: curve.recall_at(FALSE_POSITIVE_RATE),
                rng=generator(seed, "bootstrap", kind),
            ),
        )
    hits = float((unseen.flagged & patches.is_defect).sum())
    flagged = float((unseen.flagged & certain).sum())
    return MethodResult(
        method=name,
        unseen=unseen,
        curve=score_curve(unseen.scores[certain], patches.is_defect[certain]),
        measured=measure(patches, unseen.scores, seed=seed),
        flattered=flattered,
        by_kind=by_kind,
        precision=hits / flagged if flagged else float("nan"),
        recall=hits / float(patches.is_defect.sum()),
    )
