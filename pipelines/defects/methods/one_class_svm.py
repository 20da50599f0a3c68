"""One-class SVM (Schölkopf et al., 2001): a smooth boundary around normal patches."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.defects.descriptors import describe, flatten, standardise
from pipelines.defects.model import DefectModel, Diet, Watch
from pipelines.defects.patches import Patches

#: As published: 2,311 raw patches, as many of them outliers as there were defects.
PUBLISHED_NU = 32 / 2311
#: The repaired one's share of outliers among clean patches.
NU = 0.05
#: Time grows with the square of the number of patches; it was published with so many.
MOST_PATCHES = 2311
_CHUNK = 2048


@dataclass(frozen=True)
class OneClassSvm:
    """The machine of scikit-learn, kept as its support vectors.

    As repaired it sees clean, described and standardised patches alone; as published, raw pixels
    with the defects among them.
    """

    name: str = "one-class-svm"
    summary: str = "a smooth boundary around normal patches"
    diet: Diet = "clean"
    as_published: bool = False

    def fit(self, patches: Patches, *, seed: int, watch: Watch | None = None) -> DefectModel:
        """Find the support vectors, among at most `MOST_PATCHES` patches."""
        from sklearn.svm import OneClassSVM

        if len(patches) > MOST_PATCHES:
            rng = np.random.default_rng(seed)
            patches = patches.take(np.sort(rng.choice(len(patches), MOST_PATCHES, replace=False)))
        features = self._features(patches)
        mean, sd = features.mean(axis=0), features.std(axis=0)
        if not self.as_published:
            features = standardise(features, mean, sd)
        gamma = 1 / features.shape[1]
        nu = PUBLISHED_NU if self.as_published else NU
        machine = OneClassSVM(kernel="rbf", gamma=gamma, nu=nu).fit(features)
        arrays = {
            "mean": mean,
            "sd": sd,
            "support": machine.support_vectors_,
            "weight": machine.dual_coef_[0],
            "offset": np.array([machine.intercept_[0]]),
        }
        return DefectModel(self.name, patches.edge_px, arrays, {"gamma": gamma})

    def score(self, model: DefectModel, patches: Patches) -> NDArray[np.float64]:
        """Return how far outside of the boundary each patch lies."""
        features = self._features(patches)
        if not self.as_published:
            features = standardise(features, model.arrays["mean"], model.arrays["sd"])
        parts = [
            decide(model, features[start : start + _CHUNK])
            for start in range(0, len(features), _CHUNK)
        ]
        return -np.concatenate(parts)

    def _features(self, patches: Patches) -> NDArray[np.float64]:
        return flatten(patches.pixels) if self.as_published else describe(patches.pixels)


def decide(model: DefectModel, features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the decision function of the stored support vectors; positive inside."""
    support = model.arrays["support"]
    distance = (
        (features**2).sum(axis=1)[:, None] + (support**2).sum(axis=1) - 2 * features @ support.T
    )
    kernel = np.exp(-model.settings["gamma"] * np.maximum(distance, 0))
    values: NDArray[np.float64] = kernel @ model.arrays["weight"] + model.arrays["offset"][0]
    return values


DETECTOR = OneClassSvm()
PUBLISHED = OneClassSvm(name="one-class-svm-published", diet="all", as_published=True)
