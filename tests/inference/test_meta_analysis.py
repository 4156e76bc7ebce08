from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize
from statsmodels.stats.meta_analysis import combine_effects

from uplift.errors import UpliftError
from uplift.inference.means import ArmMean, contrast, welch
from uplift.inference.meta_analysis import between_variance, meta_analysis
from uplift.inference.moments import Moments
from uplift.inference.programme_total import CampaignEffect, programme_total

R = 200
BAND = 3 * np.sqrt(0.05 * 0.95 / R)


def past(rng, n, *, mean=1.0, between=0.5):
    """True effects, their estimates and errors of n experiments of unequal size."""
    truth = rng.normal(mean, between, n)
    errors = rng.uniform(0.2, 1.2, n)
    return truth, truth + errors * rng.normal(size=n), errors


@pytest.mark.parametrize("seed", range(20))
def test_it_is_that_of_statsmodels(seed):
    rng = np.random.default_rng(seed)
    _, y, errors = past(rng, 3 + seed, between=0.1 + seed / 10)
    found = meta_analysis(y, errors, confidence=0.9)
    oracle = combine_effects(
        y, errors**2, method_re="iterated", use_t=True, atol=1e-7, maxiter=1000
    )
    assert found.between_variance == pytest.approx(oracle.tau2, rel=1e-6, abs=1e-10)
    assert found.mean == pytest.approx(oracle.mean_effect_re, rel=1e-7)
    assert found.std_error == pytest.approx(oracle.sd_eff_w_re_hksj, rel=1e-6)
    hartung_knapp = oracle.conf_int(alpha=0.1, use_t=True)[3]
    np.testing.assert_allclose(found.ci, hartung_knapp, rtol=1e-6)
    np.testing.assert_allclose(found.weights, oracle.weights_rel_re, rtol=1e-6)
    assert found.heterogeneity.q == pytest.approx(oracle.q, rel=1e-9)
    assert found.heterogeneity.share == pytest.approx(max(oracle.i2, 0), abs=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_reml_is_the_largest_restricted_likelihood(seed):
    rng = np.random.default_rng(seed)
    _, y, errors = past(rng, 12, between=0.2 * seed)

    def loss(between):  # of the contrasts of y that the mean does not move
        contrasts = np.eye(12)[:-1] - np.eye(12)[1:]
        cover = contrasts @ np.diag(errors**2 + between) @ contrasts.T
        z = contrasts @ y
        return np.linalg.slogdet(cover)[1] + z @ np.linalg.solve(cover, z)

    oracle = optimize.minimize_scalar(
        loss, bounds=(0, 20), method="bounded", options={"xatol": 1e-9}
    )
    found = between_variance(y, errors, method="reml")
    assert loss(found) <= oracle.fun + 1e-6
    if found > 0.01:
        assert found == pytest.approx(oracle.x, rel=1e-3)
    assert meta_analysis(y, errors, method="reml").between_variance == found


@pytest.mark.parametrize(("n", "between"), [(3, 1.0), (8, 0.2), (40, 0.2), (40, 1.0)])
def test_the_mean_and_the_next_experiment_are_covered(n, between):
    rng = np.random.default_rng(1)
    mean, new, naive, spread = [], [], [], []
    for _ in range(R):
        _, y, errors = past(rng, n, between=between)
        found = meta_analysis(y, errors)
        mean.append(found.ci[0] <= 1.0 <= found.ci[1])
        next_one = rng.normal(1.0, between)
        new.append(found.prediction_interval[0] <= next_one <= found.prediction_interval[1])
        spread.append(found.between_ci[0] <= between**2 <= found.between_ci[1])
        fixed = 1.96 / np.sqrt(np.sum(1 / errors**2))
        naive.append(abs(found.heterogeneity.mean - 1.0) <= fixed)
    assert np.mean(mean) >= 0.95 - BAND
    assert np.mean(new) >= 0.95 - BAND
    assert np.mean(spread) == pytest.approx(0.95, abs=BAND)
    if n == 40 and between == 1.0:
        assert np.mean(naive) < 0.95 - BAND


def test_the_sum_of_shrunken_winners_is_closer_to_the_truth_than_that_of_raw_ones():
    rng = np.random.default_rng(2)
    raw_bias, shrunken_bias, closer = [], [], []
    for _ in range(100):
        truth, y, errors = past(rng, 40, mean=0.2, between=0.4)
        found = meta_analysis(y, errors)
        winners = y / errors > 1.96
        raw = y[winners].sum() - truth[winners].sum()
        shrunken = found.shrunken.effects[winners].sum() - truth[winners].sum()
        raw_bias.append(raw)
        shrunken_bias.append(shrunken)
        closer.append(abs(shrunken) < abs(raw))
    assert np.mean(closer) > 0.8
    error = np.std(shrunken_bias) / np.sqrt(len(shrunken_bias))
    assert abs(np.mean(shrunken_bias)) < 0.25 * np.mean(raw_bias) + 3 * error


def test_the_prior_is_what_new_experiments_look_like():
    rng = np.random.default_rng(3)
    _, y, errors = past(rng, 1_000)
    prior = meta_analysis(y, errors).prior(scale="absolute")
    assert prior.mean == pytest.approx(1.0, abs=0.1)
    assert prior.std == pytest.approx(0.5, abs=0.08)


def test_alike_experiments_have_no_variance_between_them():
    found = meta_analysis([1.0, 1.0, 1.0], [0.5, 0.4, 0.6], names=["a", "b", "c"])
    assert found.between_variance == 0
    assert found.between_ci[0] == 0
    assert found.mean == 1.0
    text = found.table().text()
    assert "next one" in text
    assert "a" in text.split()


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: meta_analysis([1.0], [1.0]), "EFFECTS_FEW"),
        (lambda: meta_analysis([1.0, 2.0], [1.0, -1.0]), "EFFECT_NOT_ESTIMABLE"),
        (lambda: meta_analysis([1.0, 2.0], [1.0, 1.0], names=["a"]), "COLUMN_MISSING"),
        (lambda: between_variance([1.0], [1.0], method="dl"), "METHOD_UNKNOWN"),
    ],
)
def test_what_cannot_be_put_together_is_refused(call, code):
    with pytest.raises(UpliftError) as caught:
        call()
    assert caught.value.code == code


def year(rng, n=4_000, *, n_campaigns=8, interaction=0.0):
    """A programme: a fifth in the universal control, campaigns with controls of their own."""
    outside = rng.random(n) < 0.2
    true = rng.normal(0.3, 0.3, n_campaigns)
    sent = (rng.random((n_campaigns, n)) < 0.8) & ~outside
    y = 10 + rng.normal(0, 2, n) + true @ sent + interaction * (sent.sum(axis=0) > 5)
    inside = ~outside

    def effect(t, c):
        return welch(Moments.of({"y": y[t]}, ["y"]), Moments.of({"y": y[c]}, ["y"]), column="y")

    campaigns = []
    for k in range(n_campaigns):
        found = effect(inside & sent[k], inside & ~sent[k])
        campaigns.append(
            CampaignEffect(
                name=f"c{k}",
                effect=found.effect,
                std_error=found.std_error,
                reach=float(sent[k][inside].mean()),
            )
        )
    total = 0.8 * true.sum() + interaction * np.mean((sent.sum(axis=0) > 5)[inside])
    return programme_total(effect(inside, outside), campaigns), total, 0.8 * true.sum()


def test_the_universal_control_covers_the_total_and_adding_campaigns_leave_no_residual():
    rng = np.random.default_rng(4)
    inside = []
    for _ in range(200):
        found, total, summed = year(rng)
        inside.append(
            (
                found.measured.ci[0] <= total <= found.measured.ci[1],
                found.shrunken_sum_ci[0] <= summed <= found.shrunken_sum_ci[1],
                found.raw_sum_ci[0] <= summed <= found.raw_sum_ci[1],
                found.residual_ci[0] <= 0 <= found.residual_ci[1],
            )
        )
    band = 3 * np.sqrt(0.05 * 0.95 / 200)
    assert np.mean(inside, axis=0) == pytest.approx(0.95, abs=band)


def test_campaigns_that_take_from_each_other_leave_a_residual():
    rng = np.random.default_rng(5)
    p_values = [year(rng, n=8_000, interaction=-1.5)[0].residual_p_value for _ in range(30)]
    assert np.mean(np.array(p_values) < 0.05) > 0.8


def test_one_campaign_is_not_shrunken_and_parts_add_up():
    measured = contrast(*(welch_arm(v) for v in ((2.0, 0.04), (1.0, 0.05))))
    alone = programme_total(
        measured, [CampaignEffect(name="a", effect=0.8, std_error=0.2, reach=0.5)]
    )
    assert alone.shrunken_sum == alone.raw_sum == pytest.approx(0.4)
    assert alone.residual == pytest.approx(0.6)
    rng = np.random.default_rng(6)
    found, _, _ = year(rng, n=2_000)
    assert found.contributions.sum() == pytest.approx(found.shrunken_sum)
    assert "interaction residual" in found.table().text()
    with pytest.raises(UpliftError, match="no campaign"):
        programme_total(measured, [])
    with pytest.raises(UpliftError, match="above 0"):
        programme_total(measured, [CampaignEffect(name="a", effect=1, std_error=1, reach=0)])


def test_the_residual_of_a_small_control_is_on_a_t_distribution():
    rng = np.random.default_rng(7)
    campaign = CampaignEffect(name="a", effect=0.0, std_error=0.05, reach=1.0)
    inside, plain = [], []
    for _ in range(2_000):
        held, sent = (Moments.of({"y": rng.normal(0, 1, n)}, ["y"]) for n in (5, 400))
        one = replace(campaign, effect=0.05 * rng.normal())
        found = programme_total(welch(sent, held, column="y"), [one])
        inside.append(found.residual_ci[0] <= 0 <= found.residual_ci[1])
        plain.append(abs(found.residual) <= 1.96 * np.hypot(found.measured.std_error, 0.05))
    band = 3 * np.sqrt(0.05 * 0.95 / 2_000)
    assert np.mean(inside) == pytest.approx(0.95, abs=band)
    assert np.mean(plain) < 0.95 - 2 * band  # the wrong variant


def welch_arm(summary):
    mean, variance = summary
    return ArmMean(value=mean, rest=0.0, variance=variance, df=100.0, n_units=101)
