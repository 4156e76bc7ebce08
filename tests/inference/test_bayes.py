import numpy as np
import pytest
from scipy import integrate, stats

from uplift.errors import DataError, DefinitionError
from uplift.inference.bayes import Prior, expected_losses, posterior


@pytest.mark.parametrize("z", [-6.0, -1.3, 0.0, 0.4, 8.0])
def test_losses_are_the_integrals_they_name(z):
    mean, std = 0.3 * z, 0.3
    points = np.linspace(mean - 12 * std, mean + 12 * std, 200_001)
    density = stats.norm.pdf(points, mean, std)
    below = integrate.trapezoid(np.maximum(-points, 0) * density, points)
    above = integrate.trapezoid(np.maximum(points, 0) * density, points)
    assert expected_losses(mean, std) == pytest.approx((below, above), rel=1e-6, abs=1e-12)


def test_far_from_zero_the_loss_is_all_or_nothing_and_never_negative():
    assert expected_losses(0.01, 4.5e-9) == (0.0, 0.01)
    assert expected_losses(-0.01, 4.5e-9) == (0.01, 0.0)
    for z in np.linspace(-37.5, 37.5, 301):
        below, above = expected_losses(z, 1.0)
        assert min(below, above) >= 0
        assert above - below == pytest.approx(z, abs=1e-12)


def test_the_posterior_is_the_normalised_product_of_prior_and_likelihood():
    found = posterior(0.08, 0.05, prior=Prior(mean=0.02, std=0.03, scale="absolute"))
    grid = np.linspace(-0.5, 0.6, 400_001)
    weight = stats.norm.pdf(grid, 0.02, 0.03) * stats.norm.pdf(0.08, grid, 0.05)
    weight /= weight.sum()
    mean = weight @ grid
    assert found.mean == pytest.approx(mean, rel=1e-8)
    assert found.std == pytest.approx(np.sqrt(weight @ (grid - mean) ** 2), rel=1e-6)
    assert found.chance_to_win == pytest.approx(weight[grid > 0].sum(), abs=1e-5)
    assert found.loss_of_treating == pytest.approx(weight @ np.maximum(-grid, 0), rel=1e-4)
    inside = (grid > found.ci[0]) & (grid < found.ci[1])
    assert weight[inside].sum() == pytest.approx(0.95, abs=1e-4)


def test_without_a_prior_it_is_the_estimate_and_a_wide_prior_comes_near():
    flat = posterior(1.5, 0.5)
    assert flat.ci == pytest.approx((1.5 - 0.5 * 1.959964, 1.5 + 0.5 * 1.959964), rel=1e-6)
    wide = posterior(1.5, 0.5, prior=Prior(std=1e6, scale="absolute"))
    assert wide.mean == pytest.approx(flat.mean, rel=1e-9)
    assert posterior(-1.5, 0.5, higher_is_better=False).chance_to_win == flat.chance_to_win
    assert posterior(-1.5, 0.5, higher_is_better=False).loss_of_treating == pytest.approx(
        flat.loss_of_treating
    )


def test_a_prior_on_the_other_scale_is_converted_by_the_magnitude_of_the_control_mean():
    relative = Prior(mean=0.05, std=0.1, scale="relative")
    for base in (20.0, -20.0):
        found = posterior(2.0, 1.0, control_mean=base, prior=relative)
        by_hand = posterior(2.0, 1.0, prior=Prior(mean=1.0, std=2.0, scale="absolute"))
        assert found.mean == pytest.approx(by_hand.mean)
        assert found.ci == pytest.approx(by_hand.ci)
    there = posterior(
        0.1, 0.05, scale="relative", control_mean=20.0, prior=Prior(std=2.0, scale="absolute")
    )
    assert there.mean == pytest.approx(0.1 * 0.8)
    assert "chance to win" in str(there)


def coverage_of_winners(read, rng):
    """How often the interval of an effect that looked proven holds it; effects follow the prior."""
    effect = rng.normal(0, 0.02, 6_000)
    seen = effect + rng.normal(0, 0.03, 6_000)
    winners = seen / 0.03 > 1.96
    found = [read(value).ci for value in seen[winners]]
    low, high = np.array(found).T
    return np.mean((low <= effect[winners]) & (effect[winners] <= high))


def test_lucky_winners_are_shrunk_so_that_their_intervals_still_hold_and_plain_ones_do_not():
    rng = np.random.default_rng(1)
    prior = Prior(std=0.02, scale="absolute")
    band = 3 * np.sqrt(0.05 * 0.95 / 250)
    shrunk = coverage_of_winners(lambda x: posterior(x, 0.03, prior=prior), rng)
    assert shrunk == pytest.approx(0.95, abs=band)
    assert coverage_of_winners(lambda x: posterior(x, 0.03), rng) < 0.95 - band


def test_what_is_no_belief_or_no_estimate_is_refused():
    with pytest.raises(DefinitionError, match="std above 0"):
        Prior(std=0.0)
    with pytest.raises(DataError, match="standard error above 0"):
        posterior(1.0, 0.0)
    with pytest.raises(DataError, match="relative prior cannot be used") as caught:
        posterior(1.0, 1.0, control_mean=0.0, prior=Prior(std=0.1))
    assert caught.value.code == "RATIO_UNDEFINED"
