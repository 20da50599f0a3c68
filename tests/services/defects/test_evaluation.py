import numpy as np
import pytest

from pipelines.defects.patches import make_patches
from pipelines.errors import SettingsError
from services.defects.evaluation import evaluate


@pytest.fixture(scope="module")
def spotted():
    """Noise of nine images in three sessions; a fifth of the patches have a bright spot."""
    rng = np.random.default_rng(1)
    pixels = rng.normal(size=(180, 24, 24))
    bad = rng.random(180) < 0.2
    y, x = np.mgrid[:24, :24]
    pixels[bad] += 3 * np.exp(-((y - 12) ** 2 + (x - 10) ** 2) / 12)
    return make_patches(
        pixels,
        images=np.repeat([f"i{k}" for k in range(9)], 20),
        sessions=np.repeat(["a", "b", "c"], 60),
        is_defect=bad,
        is_doubtful=~bad & (np.arange(180) % 17 == 0),
    )


def run(patches, **given):
    settings = {
        "split": "image",
        "n_folds": 3,
        "random_split_too": True,
        "false_alarms_per_image": 1.0,
        "seed": 0,
        **given,
    }
    kinds = np.where(patches.is_defect, "spot", "")
    return evaluate(patches, kinds, ["blur-maximum", "isolation-forest-published"], **settings)


def test_the_better_detector_comes_first_with_intervals_around_its_figures(spotted):
    found = run(spotted)

    assert found.results[0].method == "blur-maximum"
    for estimate in vars(found.results[0].measured).values():
        assert estimate.low <= estimate.value <= estimate.high
    assert found.results[0].by_kind["spot"][0] == spotted.is_defect.sum()


def test_the_gap_is_what_a_random_split_claims_too_much(spotted):
    result = run(spotted).results[0]

    assert result.gap == result.flattered.pr_auc.value - result.measured.pr_auc.value


def test_without_a_random_split_there_is_no_gap(spotted):
    assert np.isnan(run(spotted, random_split_too=False).results[0].gap)


def test_doubtful_patches_count_neither_way(spotted):
    found = run(spotted, random_split_too=False)
    certain = ~spotted.is_doubtful

    assert len(found.results[0].curve.thresholds) <= certain.sum()
    assert found.prevalence == pytest.approx(spotted.is_defect.sum() / certain.sum())


def test_sessions_are_kept_together_where_that_is_asked_for(spotted):
    found = run(spotted, split="session", random_split_too=False)

    folds = found.results[0].unseen.fold
    assert all(len(set(folds[spotted.sessions == name])) == 1 for name in "abc")


def test_patches_without_a_defect_cannot_be_evaluated(spotted):
    with pytest.raises(SettingsError, match="there is nothing to find"):
        run(spotted.take(~spotted.is_defect))
