import numpy as np
import pytest
from sklearn.ensemble import IsolationForest
from sklearn.svm import OneClassSVM

from pipelines.defects.descriptors import describe, flatten, standardise
from pipelines.defects.methods import isolation_forest, one_class_svm
from pipelines.defects.patches import make_patches


@pytest.fixture
def patches(rng):
    return make_patches(rng.normal(size=(200, 16, 16)))


def test_the_stored_trees_score_as_scikit_learns_forest_does(patches):
    model = isolation_forest.PUBLISHED.fit(patches, seed=0)
    theirs = IsolationForest(n_estimators=100, contamination=0.014, random_state=42)
    theirs.fit(flatten(patches.pixels))

    ours = isolation_forest.PUBLISHED.score(model, patches)

    assert ours == pytest.approx(-theirs.score_samples(flatten(patches.pixels)), abs=1e-9)


def test_the_stored_support_vectors_decide_as_scikit_learns_machine_does(patches):
    model = one_class_svm.PUBLISHED.fit(patches, seed=0)
    theirs = OneClassSVM(gamma="auto", nu=32 / 2311).fit(flatten(patches.pixels))

    ours = one_class_svm.PUBLISHED.score(model, patches)

    assert ours == pytest.approx(-theirs.decision_function(flatten(patches.pixels)), abs=1e-9)


@pytest.mark.parametrize("module", [isolation_forest, one_class_svm])
@pytest.mark.parametrize("form", ["DETECTOR", "PUBLISHED"])
def test_the_order_of_rows_changes_nothing(patches, rng, module, form):
    detector = getattr(module, form)
    model = detector.fit(patches, seed=0)
    order = rng.permutation(len(patches))

    shuffled = detector.score(model, patches.take(order))

    assert shuffled == pytest.approx(detector.score(model, patches)[order], abs=1e-9)


def test_descriptions_do_not_know_where_the_lattice_begins():
    x = np.mgrid[:64, :64][1]
    waves = [np.cos(2 * np.pi * (x + shift) / 8) for shift in (0, 3)]

    raw = np.abs(waves[0] - waves[1]).max()
    first, second = describe(np.stack(waves).astype(np.float32))

    assert np.abs(first - second).max() < 0.25 * raw


def test_a_feature_that_never_changes_stays_zero():
    features = np.array([[1.0, 5.0], [3.0, 5.0]])

    standard = standardise(features, features.mean(axis=0), features.std(axis=0))

    assert standard.tolist() == [[-1, 0], [1, 0]]
