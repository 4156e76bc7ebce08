import numpy as np
import pytest

from uplift.errors import DataError
from uplift.inference.hurdle import buyer_column, hurdle
from uplift.inference.moments import Moments
from uplift.inference.ratios import ratio

BAND_250 = 0.0413


def spend(rng, n, *, share=0.1, basket=50.0):
    bought = rng.uniform(size=n) < share
    return np.where(bought, rng.gamma(4, basket / 4, n), 0.0)


def moments(y, covariances=()):
    return Moments.of({"y": y, "b": buyer_column(y)}, ["y", "b"], covariances)


def split(t, c, **options):
    return hurdle(moments(t), moments(c), spend="y", buyer="b", **options)


@pytest.mark.parametrize("seed", range(20))
def test_the_parts_sum_to_the_whole_to_rounding(seed):
    rng = np.random.default_rng(seed)
    t = spend(rng, 300, share=rng.uniform(0.05, 0.9), basket=rng.uniform(1, 90))
    c = spend(rng, 120, share=rng.uniform(0.05, 0.9), basket=rng.uniform(1, 90))
    found = split(t, c)
    assert found.buyers.effect + found.baskets.effect == pytest.approx(
        t.mean() - c.mean(), rel=1e-12, abs=1e-13 * (t.mean() + c.mean())
    )
    assert found.buyers.share + found.baskets.share == pytest.approx(1.0, rel=1e-12)
    p_t, p_c, m_t, m_c = (t > 0).mean(), (c > 0).mean(), t[t > 0].mean(), c[c > 0].mean()
    assert found.buyers.effect == pytest.approx((p_t - p_c) * (m_t + m_c) / 2)
    assert found.baskets.effect == pytest.approx((m_t - m_c) * (p_t + p_c) / 2)
    at_control = (p_t - p_c) * m_c + (m_t - m_c) * p_c  # the usual split leaves the interaction
    assert at_control + found.interaction == pytest.approx(found.spend.effect, rel=1e-9)


def test_errors_are_those_of_the_linearised_values():
    rng = np.random.default_rng(1)
    arms = [spend(rng, 800, share=0.3), spend(rng, 500, share=0.2, basket=60)]
    found = split(*arms)
    step, variance = 1e-6, {"buyers": 0.0, "baskets": 0.0}

    def parts(y_t, p_t, y_c, p_c):
        buyers = (p_t - p_c) * (y_t / p_t + y_c / p_c) / 2
        return {"buyers": buyers, "baskets": y_t - y_c - buyers}

    means = [m for y in arms for m in (y.mean(), (y > 0).mean())]
    for k, y in enumerate(arms):
        slopes = []
        for j in (2 * k, 2 * k + 1):
            up, down = means.copy(), means.copy()
            up[j], down[j] = up[j] + step, down[j] - step
            slopes.append({n: (parts(*up)[n] - parts(*down)[n]) / (2 * step) for n in variance})
        for name in variance:
            values = slopes[0][name] * y + slopes[1][name] * (y > 0)
            variance[name] += values.var(ddof=1) / len(y)
    assert found.buyers.std_error == pytest.approx(np.sqrt(variance["buyers"]), rel=1e-5)
    assert found.baskets.std_error == pytest.approx(np.sqrt(variance["baskets"]), rel=1e-5)


def test_the_basket_is_the_ratio_of_spend_to_buyers_with_their_collected_co_moment():
    rng = np.random.default_rng(2)
    t, c = spend(rng, 400, share=0.3), spend(rng, 700, share=0.2)
    pair = [("y", "b")]
    with_it = [moments(y, pair) for y in (t, c)]
    plain = ratio(*with_it, numerator="y", denominator="b")
    found = split(t, c).basket
    assert found.ci == pytest.approx(plain.ci, rel=1e-9)
    assert found.control_mean == pytest.approx(c[c > 0].mean())


def covered(*, seed):
    """How often the intervals of both parts hold their parts."""
    rng = np.random.default_rng(seed)
    buyers, baskets = (0.36 - 0.3) * 60, (70 - 50) * 0.33
    hits = []
    for _ in range(250):
        found = split(spend(rng, 400, share=0.36, basket=70), spend(rng, 150, share=0.3))
        hits.append(
            (
                found.buyers.ci[0] <= buyers <= found.buyers.ci[1],
                found.baskets.ci[0] <= baskets <= found.baskets.ci[1],
            )
        )
    return np.mean(hits, axis=0)


def test_each_part_covers_and_one_that_takes_spend_and_buying_as_unrelated_is_far_too_wide(
    monkeypatch,
):
    assert covered(seed=3) == pytest.approx([0.95, 0.95], abs=BAND_250)
    monkeypatch.setattr("uplift.inference.hurdle._covariance", lambda arm, spend, buyer: 0.0)
    assert covered(seed=3)[1] > 0.95 + BAND_250


def test_only_more_buyers_shows_in_buyers_only():
    rng = np.random.default_rng(4)
    t, c = spend(rng, 60_000, share=0.13), spend(rng, 60_000, share=0.1)
    found = split(t, c)
    assert found.buyers.p_value < 0.001
    assert found.baskets.ci[0] < 0 < found.baskets.ci[1]
    assert found.buyers.share == pytest.approx(1.0, abs=0.15)
    assert "more buyers" in str(found)


def test_swapped_arms_negate_and_a_unit_of_money_scales():
    rng = np.random.default_rng(5)
    t, c = spend(rng, 300, share=0.3), spend(rng, 200, share=0.2)
    there, back, cents = split(t, c), split(c, t), split(100 * t, 100 * c)
    assert back.buyers.ci == pytest.approx((-there.buyers.ci[1], -there.buyers.ci[0]))
    assert cents.baskets.ci == pytest.approx(tuple(100 * end for end in there.baskets.ci))
    assert cents.buyers.share == pytest.approx(there.buyers.share)


def test_an_arm_without_buyers_is_refused_and_a_column_that_is_no_indicator_too():
    some = spend(np.random.default_rng(6), 100, share=0.5)
    with pytest.raises(DataError, match=r"0 buyer\(s\) among 50 units") as caught:
        split(np.zeros(50), some)
    assert caught.value.code == "BUYERS_TOO_FEW"
    with pytest.raises(DataError, match="not a proportion"):
        hurdle(moments(some), moments(some), spend="b", buyer="y")


def test_equal_arms_have_no_shares_of_an_effect():
    y = spend(np.random.default_rng(7), 100, share=0.5)
    found = split(y, y)
    assert found.spend.effect == 0
    assert np.isnan(found.buyers.share)
