import numpy as np
import pytest
from scipy.stats import beta

from pipelines.training.mixtures import BetaMixture, fit_beta_mixture, gaussian_low_posterior

N = 50_000


def two_betas(rng, low, high, weight_high):
    is_high = rng.random(N) < weight_high
    return np.where(is_high, rng.beta(*high, N), rng.beta(*low, N)), is_high


def epoch_losses(rng, error_rate, n=4000):
    """Draw losses as they look after a few epochs, the wrongly labelled ones higher."""
    wrong = rng.random(n) < error_rate
    return np.where(wrong, rng.gamma(8, 0.3, n), rng.exponential(0.25, n)), wrong


MIXTURES = [((2, 6), (8, 3), 0.4), ((1.5, 10), (5, 2), 0.3), ((2, 10), (10, 2), 0.2)]


@pytest.mark.parametrize(("low", "high", "weight"), MIXTURES)
def test_known_weights_and_shapes_are_recovered(rng, low, high, weight):
    losses, is_high = two_betas(rng, low, high, weight)

    mixture = fit_beta_mixture(losses, n_steps=200, trimmed_percent=0)

    assert abs(mixture.weights[1] - weight) < 0.02
    assert abs(mixture.posterior_high(losses).mean() - is_high.mean()) < 0.02
    means = mixture.alphas / (mixture.alphas + mixture.betas)
    assert means == pytest.approx([low[0] / sum(low), high[0] / sum(high)], abs=0.03)


@pytest.mark.parametrize(("low", "high", "weight"), [*MIXTURES, ((2, 8), (8, 2), 0.5)])
def test_ten_steps_tell_the_populations_apart(rng, low, high, weight):
    losses, is_high = two_betas(rng, low, high, weight)

    found = fit_beta_mixture(losses).posterior_high(losses) > 0.5

    # The best that anyone could do, knowing both densities.
    odds = weight * beta.pdf(losses, *high) > (1 - weight) * beta.pdf(losses, *low)
    assert (found == is_high).mean() > (odds == is_high).mean() - 0.025


@pytest.mark.parametrize("losses_of", ["beta", "beta with a wide low", "epoch", "one population"])
def test_the_posterior_never_falls_as_the_loss_rises(rng, losses_of):
    losses = {
        "beta": lambda: two_betas(rng, (2, 6), (8, 3), 0.4)[0],
        "beta with a wide low": lambda: two_betas(rng, (1, 1), (60, 20), 0.4)[0],
        "epoch": lambda: epoch_losses(rng, 0.4)[0],
        "one population": lambda: rng.normal(3, 0.1, 1000),
    }[losses_of]()
    ladder = np.linspace(losses.min() - 1, losses.max() + 1, 2001)

    high = fit_beta_mixture(losses).posterior_high(ladder)
    low = gaussian_low_posterior(np.concatenate([losses, losses[:3]]))
    order = np.argsort(np.concatenate([losses, losses[:3]]))

    assert (np.diff(high) >= 0).all()
    assert ((high >= 0) & (high <= 1)).all()
    assert (np.diff(low[order]) <= 1e-12).all()


def test_the_posterior_is_bayes_rule_for_the_fitted_densities(rng):
    losses, _ = two_betas(rng, (2, 6), (8, 3), 0.4)

    mixture = fit_beta_mixture(losses)

    low, high = (
        mixture.weights[i] * beta.pdf(0.505, mixture.alphas[i], mixture.betas[i]) for i in (0, 1)
    )
    half_way = mixture.lowest + 0.505 * (mixture.highest - mixture.lowest)
    assert mixture.posterior_high(np.array([half_way]))[0] == pytest.approx(high / (low + high))


def test_one_step_is_the_published_one():
    # Begun from Beta(1, 2) and Beta(2, 1) in equal parts, a loss x is high with chance x.
    values = np.array([0.0, 0.25, 0.5, 1.0])

    mixture = fit_beta_mixture(values, n_steps=1, trimmed_percent=0)

    x = np.array([0.001, 0.25, 0.5, 0.999])
    mean = (x * x).sum() / x.sum()
    variance = (x * (x - mean) ** 2).sum() / x.sum()
    alpha = mean * (mean * (1 - mean) / variance - 1)
    assert mixture.weights[1] == pytest.approx(x.mean())
    assert mixture.alphas[1] == pytest.approx(alpha)
    assert mixture.betas[1] == pytest.approx(alpha * (1 - mean) / mean)


def test_outliers_do_not_move_the_fit_and_count_as_high(rng):
    losses, _ = epoch_losses(rng, 0.3)

    plain = fit_beta_mixture(losses)
    disturbed = fit_beta_mixture(np.concatenate([losses, [1e6]]))

    assert disturbed.weights == pytest.approx(plain.weights, abs=0.01)
    assert disturbed.posterior_high(np.array([1e6]))[0] == disturbed.lookup.max()


@pytest.mark.parametrize("error_rate", [0.2, 0.4])
def test_gaussians_find_the_labels_that_fit(rng, error_rate):
    losses, wrong = epoch_losses(rng, error_rate)

    low = gaussian_low_posterior(losses)

    assert ((low <= 0.5) == wrong).mean() > 0.95
    assert np.array_equal(gaussian_low_posterior(losses), low)


def test_extreme_losses_do_not_fall_to_the_wider_component(rng):
    # The low population is the wide one: its tail reaches beyond the high one at both ends.
    losses = np.concatenate([rng.normal(2, 1, 3000), rng.normal(6, 0.2, 2000), [9.0]])

    low = gaussian_low_posterior(losses)

    assert low[-1] < 0.1
    assert low[losses < 0].min() > 0.9


@pytest.mark.parametrize("losses", [np.zeros(40), np.full(200, 0.6931), np.full(1, 2.0)])
def test_where_losses_do_not_differ_labels_are_believed(losses):
    assert fit_beta_mixture(losses).posterior_high(losses).tolist() == [0.0] * len(losses)
    assert gaussian_low_posterior(losses).tolist() == [1.0] * len(losses)


def test_differences_of_rounding_are_none():
    losses = 0.6931 + 1e-12 * np.arange(100)

    assert (fit_beta_mixture(losses).posterior_high(losses) == 0).all()


@pytest.mark.parametrize("n", [1, 2, 3, 5, 20])
def test_few_samples_give_probabilities(rng, n):
    losses = rng.exponential(1.0, n)

    for posterior in (
        fit_beta_mixture(losses).posterior_high(losses),
        gaussian_low_posterior(losses),
    ):
        assert posterior.shape == (n,)
        assert ((posterior >= 0) & (posterior <= 1)).all()


@pytest.mark.parametrize(
    "losses",
    [
        np.array([0.0] * 999 + [1.0]),
        np.array([0.0] + [1.0] * 999),
        np.array([0.0] * 500 + [1.0] * 500),
        np.array([0.0, 1e300] * 50),
    ],
)
def test_lumps_of_equal_losses_give_probabilities(losses):
    for posterior in (
        fit_beta_mixture(losses).posterior_high(losses),
        gaussian_low_posterior(losses),
    ):
        assert ((posterior >= 0) & (posterior <= 1)).all()


def test_a_collapsed_gaussian_is_replaced_by_a_quantile(rng):
    # One outlier takes a component for itself, which is no population.
    losses = np.append(rng.normal(0, 0.01, 999), 100.0)

    half = gaussian_low_posterior(losses)
    third = gaussian_low_posterior(losses, fallback_share=0.3)

    assert set(half.tolist()) == {0.0, 1.0}
    assert half.sum() == 500
    assert third.sum() == 300
    assert losses[half == 1].max() < losses[half == 0].min()


def test_a_low_population_of_a_few_is_a_collapse(rng):
    losses = np.concatenate([rng.normal(0, 0.01, 20), rng.normal(5, 0.1, 980)])

    assert gaussian_low_posterior(losses).sum() == 500


def test_losses_are_left_as_they_are(rng):
    losses = rng.exponential(1.0, 100)
    before = losses.copy()

    fit_beta_mixture(losses).posterior_high(losses)
    gaussian_low_posterior(losses)

    assert np.array_equal(losses, before)


@pytest.mark.parametrize("fit", [fit_beta_mixture, gaussian_low_posterior])
@pytest.mark.parametrize(
    ("losses", "message"),
    [
        (np.array([1.0, np.nan, np.inf]), "losses must be finite, got 2 of 3 that are not"),
        (np.zeros(0), r"losses must have shape \(N,\) with N above 0, got \(0,\)"),
        (np.zeros((2, 2)), r"got \(2, 2\)"),
    ],
)
def test_losses_that_are_none_are_refused(fit, losses, message):
    with pytest.raises(ValueError, match=message):
        fit(losses)


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="n_steps must be positive, got 0"):
        fit_beta_mixture(np.arange(5.0), n_steps=0)
    with pytest.raises(ValueError, match="trimmed_percent must be 0 to below 50, got 50"):
        fit_beta_mixture(np.arange(5.0), trimmed_percent=50)
    with pytest.raises(ValueError, match="fallback_share must be between 0 and 1, got 1"):
        gaussian_low_posterior(np.arange(5.0), fallback_share=1.0)


def test_losses_beyond_a_narrow_high_component_still_belong_to_it(rng):
    # Beyond 0.8 the wide low component is the denser one.
    losses = two_betas(rng, (1, 1), (120, 40), 0.4)[0]

    mixture = fit_beta_mixture(losses, n_steps=100, trimmed_percent=0)

    by_density = mixture.weights[:, None] * beta.pdf(
        [0.75, 0.95], mixture.alphas[:, None], mixture.betas[:, None]
    )
    assert by_density[1, 0] > by_density[0, 0]
    assert by_density[1, 1] < by_density[0, 1]
    assert mixture.posterior_high(np.array([0.95]))[0] == mixture.lookup.max() > 0.5


def test_a_narrow_low_component_keeps_the_lowest_losses():
    # Before it is mended, this lookup would rise again towards 0.
    rng = np.random.default_rng(5)
    losses = np.concatenate([rng.beta(40, 160, 3000), rng.beta(1, 1, 3000)])

    mixture = fit_beta_mixture(losses, n_steps=50, trimmed_percent=0)

    assert isinstance(mixture, BetaMixture)
    assert mixture.posterior_high(np.array([0.0]))[0] <= mixture.posterior_high(np.array([0.2]))[0]
