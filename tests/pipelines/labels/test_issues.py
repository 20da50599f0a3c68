import warnings

import numpy as np
import pytest
from cleanlab.count import compute_confident_joint
from cleanlab.filter import find_label_issues as find_with_cleanlab
from cleanlab.rank import order_label_issues
from scipy.special import expit

from pipelines.errors import LabelError, SettingsError
from pipelines.labels.issues import FILTERS, InSampleWarning, find_label_issues

TRANSITION = np.array([[0.8, 0.2], [0.35, 0.65]])


def bayes(n=4000, margin=2.0, transition=TRANSITION, seed=0):
    """Two normal classes ``2 * margin`` apart, labels through ``transition``, exact p(true | x)."""
    rng = np.random.default_rng(seed)
    true = rng.integers(2, size=n)
    x = rng.normal(size=n) + margin * (2 * true - 1)
    given = (rng.random(n) < transition[true, 1]).astype(int)
    of_class_1 = expit(2 * margin * x)
    return true, given, np.stack([1 - of_class_1, of_class_1], axis=1)


def find(given, probs, ids=None, **more):
    ids = np.arange(len(given)) if ids is None else ids
    more = {"n_resamples": 200, "rng": np.random.default_rng(0)} | more
    return find_label_issues(given, probs, ids, **more)


def three_classes(seed=1, n=900):
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet([0.3, 0.3, 0.3], size=n)
    true = np.array([rng.choice(3, p=row) for row in probs])
    given = np.where(rng.random(n) < 0.25, (true + 1) % 3, true)
    return true, given, probs


@pytest.mark.parametrize("margin", [2.0, 3.0])
def test_with_bayes_probabilities_the_joint_is_what_it_is(margin):
    true, given, probs = bayes(n=20_000, margin=margin)

    noise = find(given, probs).noise

    joint = np.histogram2d(true, given, bins=2)[0] / len(true)
    assert noise.joint == pytest.approx(joint, abs=0.01)
    assert noise.error_rate == pytest.approx((true != given).mean(), abs=0.01)
    assert noise.transition_matrix == pytest.approx(TRANSITION, abs=0.02)
    assert noise.transition_matrix.sum(axis=1) == pytest.approx([1, 1])


@pytest.mark.parametrize("filter_by", FILTERS)
def test_with_bayes_probabilities_the_wrong_labels_are_found(filter_by):
    true, given, probs = bayes()

    issues = find(given, probs, filter_by=filter_by)

    wrong = given != true
    assert wrong[issues.flagged].mean() > 0.93
    assert issues.flagged[wrong].mean() > 0.93


def test_precision_at_margin_2():
    # The best classifier is wrong of 2.3 % here: with fewer wrong labels than this, even its
    # disagreements with the given labels would not reach 0.95.
    true, given, probs = bayes(n=20_000, transition=np.array([[0.65, 0.35], [0.4, 0.6]]))

    issues = find(given, probs)

    assert (given != true)[issues.flagged].mean() > 0.95


@pytest.mark.parametrize("filter_by", FILTERS)
@pytest.mark.parametrize("data", [bayes(), three_classes()], ids=["two classes", "three"])
def test_flags_and_order_are_those_of_cleanlab(filter_by, data):
    _, given, probs = data

    issues = find(given, probs, filter_by=filter_by, even_out=False)

    theirs = find_with_cleanlab(given, probs, filter_by=filter_by, n_jobs=1)
    assert issues.flagged.tolist() == theirs.tolist()
    order = order_label_issues(theirs, given, probs, rank_by="normalized_margin")
    assert issues.margins[issues.ranking] == pytest.approx(issues.margins[order])
    joint = compute_confident_joint(given, probs)
    assert issues.noise.joint == pytest.approx(joint.T / joint.sum())


def f1(flagged, wrong):
    return 2 * (flagged & wrong).sum() / (flagged.sum() + wrong.sum())


@pytest.mark.parametrize("filter_by", ["prune_by_noise_rate", "prune_by_class", "both"])
@pytest.mark.parametrize("margin", [1.0, 1.6, 2.3])
@pytest.mark.parametrize(
    "transition",
    [
        [[0.8, 0.2], [0.2, 0.8]],
        [[0.6, 0.4], [0.4, 0.6]],
        [[1.0, 0.0], [0.4, 0.6]],
        [[1.0, 0.0], [0.2, 0.8]],
        [[0.9, 0.1], [0.4, 0.6]],
    ],
)
def test_evened_out_it_is_never_worse_than_cleanlab(transition, margin, filter_by):
    true, given, probs = bayes(n=8000, margin=margin, transition=np.array(transition))
    # As calibration on the given labels leaves them: sure to the degree that labels are right.
    wrong = given != true
    probs = probs * (1 - 2 * wrong.mean()) + wrong.mean()

    issues = find(given, probs, filter_by=filter_by)

    theirs = find_with_cleanlab(given, probs, filter_by=filter_by, n_jobs=1)
    assert f1(issues.flagged, wrong) >= f1(theirs, wrong) - 0.005


def test_errors_that_go_one_way_are_counted_whole():
    # Networks that are right of every particle, and as sure as labels of its kind are right.
    rng = np.random.default_rng(0)
    true = np.arange(8000) % 2
    given = np.where((true == 1) & (rng.random(8000) < 0.4), 0, true)
    sure = expit(1.4 + 0.3 * rng.normal(size=8000))
    probs = np.where(true[:, None] == [0, 1], sure[:, None], 1 - sure[:, None])

    issues = find(given, probs)

    wrong = given != true
    plain = compute_confident_joint(given, probs)
    assert issues.noise.error_rate == pytest.approx(wrong.mean(), abs=0.01)
    assert 1 - np.trace(plain) / plain.sum() < wrong.mean() - 0.05
    assert issues.flagged[wrong].mean() > 0.95
    assert wrong[issues.flagged].mean() == 1


def test_a_proposal_is_the_likeliest_class():
    _, given, probs = three_classes()

    issues = find(given, probs)

    assert issues.proposed_labels.tolist() == probs.argmax(axis=1).tolist()
    assert (issues.proposed_labels != given)[issues.flagged].all()


def test_what_is_like_no_class_is_undeterminable():
    _, given, probs = bayes()
    unsure = [0.49, 0.51]

    probs = np.append(probs, [unsure], axis=0)
    issues = find(np.append(given, 0), probs, filter_by="predicted_neq_given")

    assert issues.flagged[-1]
    assert issues.undeterminable[-1]
    sure = issues.flagged & (probs.max(axis=1) > 0.99)
    assert sure.any()
    assert not issues.undeterminable[sure].any()
    assert not issues.undeterminable[~issues.flagged].any()


@pytest.mark.parametrize("filter_by", FILTERS)
def test_renaming_classes_renames_the_result(filter_by):
    _, given, probs = three_classes()
    renamed = np.array([2, 0, 1])

    issues = find(given, probs, filter_by=filter_by)
    again = find(renamed[given], probs[:, np.argsort(renamed)], filter_by=filter_by)

    assert again.flagged.tolist() == issues.flagged.tolist()
    assert again.proposed_labels.tolist() == renamed[issues.proposed_labels].tolist()
    joint = again.noise.joint[np.ix_(renamed, renamed)]
    # cleanlab rounds counts to whole samples, and which way depends on the order of classes.
    assert joint == pytest.approx(issues.noise.joint, abs=2 / len(given))


@pytest.mark.parametrize("filter_by", FILTERS)
def test_twice_the_same_samples_give_the_same_flags(filter_by):
    _, given, probs = bayes(n=1000)
    ids = np.arange(1000)

    issues = find(given, probs, ids, filter_by=filter_by)
    doubled = find(np.tile(given, 2), np.tile(probs, (2, 1)), np.tile(ids, 2), filter_by=filter_by)

    assert doubled.flagged.tolist() == np.tile(issues.flagged, 2).tolist()
    assert doubled.noise.error_rate == pytest.approx(issues.noise.error_rate, abs=2 / 1000)


def test_samples_of_one_particle_widen_the_interval_no_matter_how_many():
    _, given, probs = bayes(n=1000)
    ids = np.arange(1000)

    one = find(given, probs, ids, n_resamples=2000).noise.error_rate_interval
    copies = find(
        np.tile(given, 9), np.tile(probs, (9, 1)), np.tile(ids, 9), n_resamples=2000
    ).noise.error_rate_interval
    strangers = find(
        np.tile(given, 9), np.tile(probs, (9, 1)), np.arange(9000), n_resamples=2000
    ).noise.error_rate_interval

    assert copies == pytest.approx(one, abs=0.003)
    assert np.diff(strangers) == pytest.approx(np.diff(one) / 3, rel=0.15)


def test_intervals_are_as_wide_as_with_everything_counted_anew():
    _, given, probs = bayes(n=1500, margin=1.0)
    rng = np.random.default_rng(3)

    noise = find(given, probs, n_resamples=2000).noise

    rates = []
    for _ in range(200):
        drawn = rng.integers(1500, size=1500)
        joint = compute_confident_joint(given[drawn], probs[drawn])
        rates.append(1 - np.trace(joint) / joint.sum())
    low, high = np.quantile(rates, [0.025, 0.975])
    assert noise.error_rate_interval == pytest.approx((low, high), abs=0.012)
    assert noise.transition_interval.shape == (2, 2, 2)
    assert (noise.transition_interval[0] <= noise.transition_matrix).all()
    assert (noise.transition_matrix <= noise.transition_interval[1]).all()


def test_the_interval_covers_the_realised_rate():
    covered = 0
    for seed in range(40):
        _, given, probs = bayes(n=1000, seed=seed)
        low, high = find(given, probs).noise.error_rate_interval
        covered += low <= TRANSITION[[0, 1], [1, 0]].mean() <= high

    assert covered >= 34


def test_where_all_are_assumed_of_one_hand_mirror_images_stand_for_the_other():
    rng = np.random.default_rng(4)
    true, _, probs = bayes(n=4000, margin=3.0)
    keep = (true == 0) | (rng.random(4000) < 0.25)
    true, probs = true[keep], probs[keep]

    issues = find(np.zeros(len(true), dtype=int), probs, mirrored_class=[1, 0])

    assert issues.noise.error_rate == pytest.approx(true.mean(), abs=0.02)
    assert issues.noise.transition_matrix.tolist() == [[1, 0], [1, 0]]
    assert true[issues.flagged].mean() > 0.98
    assert issues.flagged[true == 1].mean() > 0.98


@pytest.mark.parametrize("share_of_1", [0.02, 0.1])
def test_mirror_images_keep_a_rare_hand_from_being_flagged_away(share_of_1):
    rng = np.random.default_rng(6)
    true = (rng.random(8000) < share_of_1).astype(int)
    x = rng.normal(size=8000) + 2.3 * (2 * true - 1)
    given = np.where(rng.random(8000) < np.array([0.01, 0.5])[true], 1 - true, true)
    probs = expit(np.stack([-3 * x, 3 * x], axis=1))
    wrong = given != true

    plain = find(given, probs)
    mirrored = find(given, probs, mirrored_class=[1, 0])

    assert f1(mirrored.flagged, wrong) > max(0.9, f1(plain.flagged, wrong))
    assert mirrored.noise.error_rate == pytest.approx(wrong.mean(), abs=0.01)
    assert mirrored.flagged.shape == (8000,)
    # Most labels of the rare hand are right, and stay.
    assert mirrored.flagged[(given == 1) & ~wrong].mean() < 0.03


def test_probabilities_from_the_training_labels_are_suspected():
    _, given, _ = bayes()
    memorised = np.where(given[:, None] == [0, 1], 0.995, 0.005)

    with pytest.warns(InSampleWarning, match=r"mean probability of the given label is 0\.995"):
        issues = find(given, memorised)

    assert not issues.flagged.any()


def test_honest_probabilities_are_not_suspected():
    _, given, probs = bayes()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        find(given, probs)


def test_inputs_stay_as_they_are():
    _, given, probs = bayes(n=100)
    before = given.copy(), probs.copy()

    find(given, probs)

    assert np.array_equal(given, before[0])
    assert np.array_equal(probs, before[1])


EVEN = np.full((4, 2), 0.5)


@pytest.mark.parametrize(
    ("given", "probs", "more", "error", "problem"),
    [
        ([0, 1, 0, 1], EVEN, {"filter_by": "all"}, SettingsError, "--filter-by must be one of"),
        ([0, 1], EVEN, {}, LabelError, r"a row for each of 2 labels, got shape \(4, 2\)"),
        ([], np.zeros((0, 2)), {}, LabelError, "a row for each of 0 labels"),
        ([0] * 4, np.ones((4, 1)), {}, LabelError, "at least two classes"),
        ([0, 1, 2, 1], EVEN, {}, LabelError, "given labels must be 0 to 1, got 0 to 2"),
        ([0, -1, 0, 1], EVEN, {}, LabelError, "given labels must be 0 to 1, got -1 to 1"),
        ([0, 1, 0, 1], EVEN * 2, {}, LabelError, "sum to 1 in every row"),
        ([0, 1, 0, 1], EVEN * np.nan, {}, LabelError, "must be finite"),
        ([0, 1, 0, 1], EVEN, {"ids": [1]}, LabelError, "particle_ids must have shape"),
        ([0] * 4, EVEN, {}, LabelError, "class 1 has no labelled sample"),
        ([0] * 4, EVEN, {"mirrored_class": [0, 1]}, LabelError, "class 1 has no labelled sample"),
    ],
)
def test_what_does_not_fit_is_refused(given, probs, more, error, problem):
    with pytest.raises(error, match=problem):
        find(given, probs, **more)
