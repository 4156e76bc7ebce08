"""A planned power of 80 % is 80 % in simulated experiments; one that forgets something is not.

Each plan is replayed 2,000 times; three standard errors of a share of 80 % are 2.7 points.
"""

import numpy as np
import pytest
from scipy import stats

from uplift.inference import clusters, factorial, noninferiority, power
from uplift.inference.group_sequential import spending_boundary
from uplift.inference.moments import Moments
from uplift.inference.planning_variance import ratio_variance
from uplift.inference.skewness import skewed_units
from uplift.inference.two_part import TwoPart, simulated_tails

R = 2_000
POINTS = 3 * np.sqrt(0.8 * 0.2 / R)
SHARES = {"control_share": 0.25, "treatment_share": 0.75}


def reached(found):
    return abs(float(np.mean(found)) - 0.8) <= POINTS


def welch_found(mean_c, mean_t, v_c, v_t, *, confidence=0.95):
    """Whether a two-sided z test of each replay finds a difference; v are variances of means."""
    z = (mean_t - mean_c) / np.sqrt(v_c + v_t)
    return np.abs(z) > stats.norm.ppf(0.5 + confidence / 2)


def normal_arms(n, *, mean, variance, rng):
    """Means and their squared errors of arms of normal outcomes, drawn from their own laws."""
    means = rng.normal(mean, np.sqrt(variance / n), R)
    return means, variance * rng.chisquare(n - 1, R) / (n - 1) / n


def test_means():
    def replay(n, seed=1):
        rng = np.random.default_rng(seed)
        m_c, v_c = normal_arms(round(0.25 * n), mean=0.0, variance=1.0, rng=rng)
        m_t, v_t = normal_arms(round(0.75 * n), mean=0.2, variance=4.0, rng=rng)
        return welch_found(m_c, m_t, v_c, v_t)

    variances = {"control_variance": 1.0, "treatment_variance": 4.0}
    assert reached(replay(power.required_units(0.2, **SHARES, **variances)))
    assert not reached(replay(power.required_units(0.2, **SHARES, control_variance=1.0)))


def test_proportions():
    shares = {"control_share": 0.9, "treatment_share": 0.1}

    def replay(n, seed=2):
        rng = np.random.default_rng(seed)
        n_c, n_t = round(0.9 * n), round(0.1 * n)
        p_c, p_t = rng.binomial(n_c, 0.02, R) / n_c, rng.binomial(n_t, 0.03, R) / n_t
        return welch_found(p_c, p_t, p_c * (1 - p_c) / n_c, p_t * (1 - p_t) / n_t)

    assert reached(replay(power.required_units_proportion(0.02, 0.01, **shares)))
    baseline_only = power.required_units(0.01, **shares, control_variance=0.02 * 0.98)
    assert not reached(replay(baseline_only))


def test_ratios():
    def arm(n, factor, rng):
        """Orders and spend per unit: those who order more spend more."""
        orders = 1 + rng.poisson(2.0, (R, n))
        spend = factor * orders * 10 + rng.normal(0, 10, (R, n))
        ratio = spend.mean(axis=1) / orders.mean(axis=1)
        rest = spend - ratio[:, None] * orders
        return ratio, rest.var(axis=1, ddof=1) / orders.mean(axis=1) ** 2 / n

    rng = np.random.default_rng(3)
    orders = 1 + rng.poisson(2.0, 200_000)
    history = {"orders": orders, "spend": orders * 10 + rng.normal(0, 10, 200_000)}
    moments = Moments.of(history, ["spend", "orders"], [("spend", "orders")])
    variance = ratio_variance(moments, numerator="spend", denominator="orders")
    half = {"control_share": 0.5, "treatment_share": 0.5}

    def replay(unit_variance):
        n = round(power.required_units(1.0, **half, control_variance=unit_variance) / 2)
        (r_c, v_c), (r_t, v_t) = arm(n, 1.0, rng), arm(n, 1.1, rng)
        return welch_found(r_c, r_t, v_c, v_t)

    assert reached(replay(variance))
    no_covariance = moments.variance("spend") / moments.mean_of("orders") ** 2
    assert not reached(replay(no_covariance))


def households(n, effect, rng):
    """Totals of n households of 1 to 6 members in each replay: members, outcome."""
    size = rng.integers(1, 7, (R, n))
    alike = rng.normal(0, np.sqrt(0.3), (R, n))
    noise = rng.normal(0, np.sqrt(0.7), (R, n)) * np.sqrt(size)
    return size, size * (effect + alike) + noise


def test_clusters():
    rng = np.random.default_rng(4)
    size = rng.integers(1, 7, 20_000)
    home = np.repeat(np.arange(20_000), size)
    outcome = rng.normal(0, np.sqrt(0.3), 20_000)[home]
    outcome += rng.normal(0, np.sqrt(0.7), len(home))
    history = clusters.cluster_history(outcome, home)

    def replay(effect_of_design):
        n = clusters.required_clusters(
            0.2,
            variance=history.variance,
            effect_of_design=effect_of_design,
            mean_size=history.mean_size,
        )
        found = []
        for effect in (0.0, 0.2):
            members, total = households(round(n / 2), effect, rng)
            mean = total.sum(axis=1) / members.sum(axis=1)
            rest = total - mean[:, None] * members
            spread = rest.var(axis=1, ddof=1) / members.mean(axis=1) ** 2 / members.shape[1]
            found.append((mean, spread))
        (m_c, v_c), (m_t, v_t) = found
        return welch_found(m_c, m_t, v_c, v_t)

    assert reached(replay(history.design_effect))
    assert not reached(replay(1.0))  # households ignored
    equal = clusters.design_effect(mean_size=history.mean_size, correlation=history.correlation)
    assert not reached(replay(equal))  # as if all were of one size


def test_noninferiority():
    def replay(n, seed=5):
        rng = np.random.default_rng(seed)
        m_c, v_c = normal_arms(round(0.25 * n), mean=0.0, variance=1.0, rng=rng)
        m_t, v_t = normal_arms(round(0.75 * n), mean=0.0, variance=1.0, rng=rng)
        return (m_t - m_c + 0.1) / np.sqrt(v_c + v_t) > stats.norm.ppf(0.95)

    n = noninferiority.required_units_noninferiority(0.1, **SHARES, variance=1.0)
    assert reached(replay(n))
    assert not reached(replay(power.required_units(0.1, **SHARES, control_variance=1.0)))


@pytest.mark.parametrize("relative_effect", [0.6, -0.5])
def test_two_part_revenue(relative_effect):
    control = TwoPart.lognormal(buyer_share=0.02, mean=60.0, std=40.0)
    treated = control.changed(relative_effect, "buyers")
    effect = treated.whole.mean - control.whole.mean
    shares = {"control_share": 0.05, "treatment_share": 0.95}

    def replay(n):
        tails = simulated_tails(
            control=control,
            treatment=treated,
            n_control=round(0.05 * n),
            n_treatment=round(0.95 * n),
            n_draws=R,
            seed=6,
        )
        return tails.upper if effect > 0 else tails.lower

    aware = skewed_units(effect, control=control.whole, treatment=treated.whole, **shares)
    assert reached(replay(aware))
    plain = power.required_units(
        effect,
        **shares,
        control_variance=control.whole.variance,
        treatment_variance=treated.whole.variance,
    )
    assert not reached(replay(plain))


def brownian(fractions, drift, rng):
    """z at each look. Returns (R, n_looks)."""
    steps = np.diff(fractions, prepend=0.0)
    moves = rng.normal(drift * steps, np.sqrt(steps), (R, len(steps)))
    return np.cumsum(moves, axis=1) / np.sqrt(fractions)


def test_group_sequential_looks():
    fractions = np.array([0.15, 0.4, 0.7, 1.0])
    plan = spending_boundary(fractions, spending="pocock")
    rng = np.random.default_rng(7)

    def replay(drift):
        return (np.abs(brownian(fractions, drift, rng)) > plan.z).any(axis=1)

    assert reached(replay(plan.drift_for(0.8)))
    one_look = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert not reached(replay(one_look))  # units of a plan that is read once
    assert plan.drift_for(0.8) == pytest.approx(one_look * np.sqrt(plan.inflation(0.8)))


def test_interactions():
    contrast = factorial.interaction_contrast()
    quarter = np.full((2, 2), 0.25)

    def replay(n, seed=8):
        rng = np.random.default_rng(seed)
        means = np.array([[0.0, 0.1], [0.2, 0.6]])  # 0.3 more together than apart
        cells = [normal_arms(round(n / 4), mean=m, variance=1.0, rng=rng) for m in means.ravel()]
        weights = contrast.ravel()
        seen = sum(w * cell[0] for w, cell in zip(weights, cells, strict=True))
        error = sum(w**2 * cell[1] for w, cell in zip(weights, cells, strict=True))
        return np.abs(seen) / np.sqrt(error) > stats.norm.ppf(0.975)

    common = {"shares": quarter, "variance": 1.0}
    n = factorial.required_units_of_contrast(0.3, contrast=contrast, **common)
    assert reached(replay(n))
    main = factorial.main_effect_contrast()
    as_a_main_effect = factorial.required_units_of_contrast(0.3, contrast=main, **common)
    assert n == pytest.approx(4 * as_a_main_effect)
    assert not reached(replay(as_a_main_effect))
