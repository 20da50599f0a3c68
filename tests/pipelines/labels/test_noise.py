import numpy as np
import pytest
from scipy.stats import binom, chi2_contingency, spearmanr

from pipelines.errors import LabelError, SettingsError
from pipelines.labels.noise import (
    KINDS,
    TWO_CLASS_KINDS,
    corrupt_labels,
    difficulty_of,
    flip_probabilities,
)

N = 4000
#: Particle ids as they are: large, with gaps.
IDS = np.arange(N) * 7919 + 2**40
HANDS = np.tile([0, 1], N // 2)
DIGITS = np.arange(N) % 10
DIFFICULTY = np.random.default_rng(1).normal(size=N)
ORDER = np.random.default_rng(2).permutation(N)
SWAP = [1, 0]


def corrupt(kind="sym_pair", error_rate=0.3, true=HANDS, ids=IDS, **changed):
    two = kind in TWO_CLASS_KINDS
    settings = {
        "kind": kind,
        "error_rate": error_rate,
        "seed": 5,
        "n_classes": 2 if two or true is HANDS else 10,
        "difficulty": DIFFICULTY if kind == "idn" else None,
        "order": ORDER if kind == "order" else None,
    }
    return corrupt_labels(true, ids, **(settings | changed))


@pytest.mark.parametrize("kind", ["sym_pair", "asym", "order", "symmetric", "pair"])
@pytest.mark.parametrize("error_rate", [0.1, 0.2345, 0.46])
def test_the_realised_rate_is_the_asked_one_to_within_one_particle(kind, error_rate):
    noisy = corrupt(kind, error_rate)

    assert (noisy.given_labels != HANDS).sum() == round(error_rate * N)
    assert noisy.error_rate == (noisy.given_labels != HANDS).mean()


@pytest.mark.parametrize("kind", ["sym_indep", "idn"])
def test_independent_flips_stay_in_the_binomial_band(kind):
    low, high = binom.interval(0.99, N, 0.3)

    assert low <= (corrupt(kind).given_labels != HANDS).sum() <= high


@pytest.mark.parametrize("kind", KINDS)
def test_a_zero_rate_changes_nothing(kind):
    noisy = corrupt(kind, 0.0, mirrored_class=SWAP)

    assert noisy.given_labels.tolist() == HANDS.tolist()
    assert noisy.mirrored_given_labels.tolist() == (1 - HANDS).tolist()
    assert noisy.error_rate == 0
    assert noisy.transition_matrix.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("kind", ["sym_pair", "sym_indep", "symmetric", "pair"])
@pytest.mark.parametrize("by", ["order", "size"])
def test_symmetric_flips_know_nothing_of_order_or_size(kind, by):
    sizes = np.random.default_rng(3).lognormal(size=N)
    place = np.arange(N) if by == "order" else np.argsort(np.argsort(sizes))
    wrong = corrupt(kind).given_labels != HANDS

    table = np.histogram2d(place * 10 // N, wrong, bins=(10, 2))[0]

    assert chi2_contingency(table).pvalue > 0.01


def test_difficult_particles_are_wrong_more_often():
    noisy = corrupt("idn")

    assert spearmanr(DIFFICULTY, noisy.given_labels != HANDS).statistic > 0.3


@pytest.mark.parametrize("error_rate", [0.01, 0.2, 0.5, 0.95])
def test_chances_grow_with_difficulty_and_average_to_the_rate(error_rate):
    chances = flip_probabilities(DIFFICULTY * 50 - 7, error_rate)

    assert chances.mean() == pytest.approx(error_rate, abs=1e-9)
    assert (np.diff(chances[np.argsort(DIFFICULTY)]) > 0).all()
    # Twice the standard deviation is twice 2 in the sigmoid's argument.
    logit = np.log(chances / (1 - chances))
    assert logit.std() == pytest.approx(2.0)


def test_equally_difficult_particles_have_equal_chances():
    assert flip_probabilities([3.0, 3.0, 3.0], 0.2) == pytest.approx([0.2] * 3)


def test_difficulty_joins_covariates_and_takes_the_unknown_as_average():
    joined = difficulty_of(
        {"size": ([10.0, 20.0, 30.0], -1), "tilt": ([0.0, np.nan, 60.0], 1), "same": ([1, 1, 1], 1)}
    )

    big = np.sqrt(1.5)
    assert joined == pytest.approx([(big - 1) / 3, 0, (1 - big) / 3])


def test_ordered_noise_is_one_block_of_the_acquisition():
    wrong = corrupt("order", 0.3).given_labels != HANDS

    assert wrong[np.argsort(ORDER)].tolist() == [True] * 1200 + [False] * 2800


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "sym_indep"])
def test_both_members_of_a_mirror_pair_are_wrong_together(kind):
    noisy = corrupt(kind, mirrored_class=SWAP)

    assert noisy.mirrored_given_labels.tolist() == (1 - noisy.given_labels).tolist()
    assert noisy.given_labels.tolist() == corrupt(kind).given_labels.tolist()


def test_independent_flips_may_give_both_members_one_label():
    noisy = corrupt("sym_indep", mirrored_class=SWAP)

    equal = (noisy.mirrored_given_labels == noisy.given_labels).sum()
    low, high = binom.interval(0.99, N, 2 * 0.3 * 0.7)
    assert low <= equal <= high
    wrong = np.concatenate([noisy.given_labels != HANDS, noisy.mirrored_given_labels != 1 - HANDS])
    assert noisy.error_rate == wrong.mean()


def test_one_hand_is_enough_where_mirror_images_bring_the_other():
    noisy = corrupt("sym_pair", 0.25, true=np.zeros(N, dtype=int), n_classes=2, mirrored_class=SWAP)

    assert noisy.transition_matrix.tolist() == [[0.75, 0.25], [0.25, 0.75]]


def test_assuming_one_class_makes_only_the_other_wrong():
    true = np.repeat([0, 1], [3000, 1000])

    noisy = corrupt("asym", 0.25, true=true, n_classes=2)

    assert noisy.given_labels.tolist() == [0] * N
    assert noisy.transition_matrix.tolist() == [[1, 0], [1, 0]]
    assert noisy.error_rate == 0.25


def test_uneven_noise_falls_on_the_classes_as_asked():
    noisy = corrupt("asym", 0.3, asymmetry=0.75)

    assert noisy.transition_matrix == pytest.approx(np.array([[0.85, 0.15], [0.45, 0.55]]))


def test_symmetric_noise_of_many_classes_reaches_all_others_evenly():
    noisy = corrupt("symmetric", 0.45, true=DIGITS)

    off = noisy.transition_matrix[~np.eye(10, dtype=bool)]
    assert np.diag(noisy.transition_matrix) == pytest.approx(0.55, abs=0.08)
    assert off == pytest.approx(0.05, abs=0.04)
    wrong = noisy.given_labels != DIGITS
    steps = (noisy.given_labels - DIGITS)[wrong] % 10
    counts = np.bincount(steps, minlength=10)
    assert counts[0] == 0
    assert chi2_contingency(np.stack([counts[1:], np.full(9, 200)])).pvalue > 0.01


def test_pair_noise_goes_to_the_next_class():
    noisy = corrupt("pair", 0.45, true=DIGITS)

    wrong = noisy.given_labels != DIGITS
    assert set(((noisy.given_labels - DIGITS)[wrong] % 10).tolist()) == {1}


@pytest.mark.parametrize("kind", KINDS)
def test_whose_label_is_wrong_does_not_depend_on_the_order_of_rows(kind):
    shuffled = np.random.default_rng(9).permutation(N)
    more = {"idn": {"difficulty": DIFFICULTY[shuffled]}, "order": {"order": ORDER[shuffled]}}

    ordered = corrupt(kind, mirrored_class=SWAP)
    again = corrupt(
        kind,
        true=HANDS[shuffled],
        ids=IDS[shuffled],
        n_classes=2,
        mirrored_class=SWAP,
        **more.get(kind, {}),
    )

    assert again.given_labels.tolist() == ordered.given_labels[shuffled].tolist()
    assert again.mirrored_given_labels.tolist() == ordered.mirrored_given_labels[shuffled].tolist()


def test_a_higher_rate_keeps_the_wrong_labels_of_a_lower_one():
    fewer = corrupt(error_rate=0.1).given_labels != HANDS
    more = corrupt(error_rate=0.4).given_labels != HANDS

    assert more[fewer].all()


def test_another_seed_makes_others_wrong():
    one, other = (corrupt(seed=seed).given_labels != HANDS for seed in (1, 2))

    assert (one & other).mean() == pytest.approx(0.09, abs=0.02)


def test_inputs_stay_as_they_are():
    true = HANDS.copy()

    corrupt(true=true, n_classes=2)

    assert true.tolist() == HANDS.tolist()


UNKNOWN_ONE = np.where(np.arange(N) == 3, -1, HANDS)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"kind": "sim"}, "noise must be one of sym_pair, .*, pair, got 'sim'"),
        ({"error_rate": 1.0}, "--error-rate must be at least 0 and below 1, got 1"),
        ({"error_rate": -0.1}, "--error-rate must be at least 0 and below 1, got -0.1"),
        ({"error_rate": float("nan")}, "--error-rate must be at least 0 and below 1, got nan"),
        ({"n_classes": 3}, "noise sym_pair is for 2 classes, got 3; take symmetric"),
        ({"kind": "idn", "difficulty": None}, "noise idn needs the difficulty of every particle"),
        ({"kind": "order", "order": None}, "noise order needs the order of every particle"),
        ({"kind": "order", "order": [1, 2]}, r"order must have shape \(4000,\), got \(2,\)"),
        ({"kind": "asym", "asymmetry": 1.5}, "asymmetry must be 0 to 1, got 1.5"),
        (
            {"kind": "asym", "error_rate": 0.6},
            "makes 2400 labels of class 1 wrong, but it has 2000",
        ),
        ({"mirrored_class": [0, 0]}, r"mirrored_class must undo itself, got \[0, 0\]"),
    ],
)
def test_settings_that_cannot_be_met_are_refused(changed, problem):
    with pytest.raises(SettingsError, match=problem):
        corrupt(**changed)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"true": UNKNOWN_ONE}, "true labels must be known, 1 of 4000 are not"),
        ({"true": HANDS + 1}, "true labels must be 0 to 1, got 2"),
        ({"true": np.zeros(N, dtype=int)}, "class 1 has no samples"),
        ({"ids": IDS // 2**13}, "one row per particle is needed, got 4000 for"),
        ({"ids": IDS[1:]}, r"particle_ids must have shape \(4000,\), got \(3999,\)"),
        ({"kind": "idn", "difficulty": [np.nan] * N}, "difficulty must be finite"),
    ],
)
def test_labels_that_cannot_be_corrupted_are_refused(changed, problem):
    with pytest.raises(LabelError, match=problem):
        corrupt(**({"n_classes": 2} | changed))
