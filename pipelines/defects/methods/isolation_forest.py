"""Isolation forest (Liu, Ting and Zhou, 2008): odd patches are cut off by few random cuts."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.defects.descriptors import describe, flatten, standardise
from pipelines.defects.model import DefectModel, Diet, Watch
from pipelines.defects.patches import Patches

#: As published: 100 trees, contamination 0.014, seed 42, raw pixels, defects among them.
PUBLISHED_SEED, N_TREES = 42, 100
_CONTAMINATION = 0.014


@dataclass(frozen=True)
class IsolationForest:
    """The forest of scikit-learn, kept as arrays of its trees.

    As repaired it sees clean patches alone, described so that the lattice's phase does not
    matter; as published it sees raw pixels, with the defects among them.
    """

    name: str = "isolation-forest"
    summary: str = "few random cuts set odd patches apart"
    diet: Diet = "clean"
    as_published: bool = False

    def fit(self, patches: Patches, *, seed: int, watch: Watch | None = None) -> DefectModel:
        """Grow the trees."""
        from sklearn.ensemble import IsolationForest as SklearnForest

        features = self._features(patches)
        mean, sd = features.mean(axis=0), features.std(axis=0)
        if not self.as_published:
            features = standardise(features, mean, sd)
        forest = SklearnForest(
            n_estimators=N_TREES,
            contamination=_CONTAMINATION if self.as_published else "auto",
            random_state=PUBLISHED_SEED if self.as_published else seed % 2**32,
        )
        forest.fit(features)
        arrays = {"mean": mean, "sd": sd, **to_arrays(forest)}
        settings = {"n_samples": int(forest.max_samples_)}
        return DefectModel(self.name, patches.edge_px, arrays, settings)

    def score(self, model: DefectModel, patches: Patches) -> NDArray[np.float64]:
        """Return the anomaly score of the paper, 0 to 1."""
        features = self._features(patches)
        if not self.as_published:
            features = standardise(features, model.arrays["mean"], model.arrays["sd"])
        return score_arrays(model, features)

    def _features(self, patches: Patches) -> NDArray[np.float64]:
        return flatten(patches.pixels) if self.as_published else describe(patches.pixels)


def to_arrays(forest: Any) -> dict[str, NDArray[Any]]:
    """Take the trees out of scikit-learn's forest as arrays (trees, nodes)."""
    trees = [tree.tree_ for tree in forest.estimators_]
    columns = forest.estimators_features_
    n_nodes = max(tree.node_count for tree in trees)
    arrays = {
        "feature": np.full((len(trees), n_nodes), -1, np.int64),
        "threshold": np.zeros((len(trees), n_nodes)),
        "left": np.zeros((len(trees), n_nodes), np.int64),
        "right": np.zeros((len(trees), n_nodes), np.int64),
        "n_samples": np.ones((len(trees), n_nodes), np.int64),
    }
    for i, (tree, own) in enumerate(zip(trees, columns, strict=True)):
        here = slice(0, tree.node_count)
        inner = tree.feature >= 0
        arrays["feature"][i, here] = np.where(inner, own[np.maximum(tree.feature, 0)], -1)
        arrays["threshold"][i, here] = tree.threshold
        arrays["left"][i, here], arrays["right"][i, here] = tree.children_left, tree.children_right
        arrays["n_samples"][i, here] = tree.n_node_samples
    return arrays


def score_arrays(model: DefectModel, features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Drop patches down the trees; return 2 to the power of minus their mean depth, scaled."""
    # scikit-learn compares 32-bit features.
    x = features.astype(np.float32)
    total = np.zeros(len(x))
    rows = np.arange(len(x))
    for tree in range(len(model.arrays["feature"])):
        feature, threshold = model.arrays["feature"][tree], model.arrays["threshold"][tree]
        left, right = model.arrays["left"][tree], model.arrays["right"][tree]
        node, depth = np.zeros(len(x), np.int64), np.zeros(len(x))
        while (inner := feature[node] >= 0).any():
            goes_left = x[rows, np.maximum(feature[node], 0)] <= threshold[node]
            node = np.where(inner, np.where(goes_left, left[node], right[node]), node)
            depth += inner
        total += depth + _mean_path(model.arrays["n_samples"][tree][node])
    n_trees = len(model.arrays["feature"])
    whole = _mean_path(np.array([model.settings["n_samples"]]))[0]
    scores: NDArray[np.float64] = 2.0 ** (-total / (n_trees * max(whole, 1e-12)))
    return scores


def _mean_path(n: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean depth of an unsuccessful search in a tree of ``n`` samples."""
    size = n.astype(np.float64)
    many = 2 * (np.log(np.maximum(size - 1, 1)) + np.euler_gamma) - 2 * (size - 1) / size
    return np.select([size <= 1, size == 2], [0.0, 1.0], many)


DETECTOR = IsolationForest()
PUBLISHED = IsolationForest(name="isolation-forest-published", diet="all", as_published=True)
