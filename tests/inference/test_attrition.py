import numpy as np
import pytest
from scipy import stats

from uplift.errors import UpliftError
from uplift.inference.attrition import attrition_bounds, attrition_p_value, check_attrition
from uplift.inference.means import welch
from uplift.inference.moments import Moments


def moments(values):
    return Moments.of({"y": np.asarray(values, dtype=float)}, ["y"])


def test_the_test_is_chi_squared_of_kept_and_lost():
    assigned, analysed = {"control": 500, "a": 900, "b": 300}, {"control": 480, "a": 850, "b": 270}
    oracle = stats.chi2_contingency([[480, 850, 270], [20, 50, 30]], correction=False).pvalue
    assert attrition_p_value(assigned, analysed) == pytest.approx(oracle)
    assert attrition_p_value(assigned, assigned) == 1.0
    assert attrition_p_value(assigned, {}) == 1.0
    assert np.isnan(attrition_p_value({"control": 5, "a": 0}, {"control": 3}))


def test_arms_that_lose_alike_pass_and_others_have_no_verdict():
    alike = check_attrition({"control": 1_000, "a": 1_000}, {"control": 950, "a": 945})
    apart = check_attrition({"control": 1_000, "a": 1_000}, {"control": 990, "a": 900})
    assert alike.passed
    assert (apart.code, apart.verdict) == ("OUTCOME_ATTRITION", "failed")
    assert "a 100 of 1,000" in apart.remedy


def survey(rng, n, *, shift, unhappy_answer):
    """Satisfaction of 0 or 1; the unhappy answer less often."""
    y = (rng.random(n) < 0.6 + shift).astype(float)
    answered = rng.random(n) < np.where(y == 1, 0.95, unhappy_answer)
    return y[answered], int((~answered).sum())


def test_bounds_cover_the_effect_on_everybody_and_those_left_do_not():
    rng = np.random.default_rng(1)
    inside, left_only = [], []
    for _ in range(300):
        (t, lost_t), (c, lost_c) = (
            survey(rng, 1_500, shift=0.05, unhappy_answer=0.6),
            survey(rng, 1_500, shift=0.0, unhappy_answer=0.9),
        )
        found = attrition_bounds(
            moments(t),
            moments(c),
            column="y",
            lost_treatment=lost_t,
            lost_control=lost_c,
            lowest=0.0,
            highest=1.0,
        )
        inside.append(found.ci[0] <= 0.05 <= found.ci[1])
        low, high = welch(moments(t), moments(c), column="y").ci
        left_only.append(low <= 0.05 <= high)
    assert np.mean(inside) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 300)
    assert np.mean(left_only) < 0.5


def test_a_bound_is_the_effect_with_every_gap_filled():
    rng = np.random.default_rng(2)
    t, c = rng.random(40), rng.random(50)
    limits = {"lowest": -1.0, "highest": 3.0}
    found = attrition_bounds(
        moments(t), moments(c), column="y", lost_treatment=5, lost_control=0, **limits
    )
    filled = welch(moments(np.r_[t, np.full(5, 3.0)]), moments(c), column="y")
    assert found.high.ci == pytest.approx(filled.ci)
    assert found.low.effect < found.high.effect
    none = attrition_bounds(
        moments(t), moments(c), column="y", lost_treatment=0, lost_control=0, **limits
    )
    assert none.low.ci == none.high.ci
    with pytest.raises(UpliftError, match="below the highest"):
        attrition_bounds(
            moments(t),
            moments(c),
            column="y",
            lost_treatment=1,
            lost_control=0,
            lowest=1,
            highest=1,
        )
    with pytest.raises(UpliftError, match="than assigned"):
        attrition_p_value({"a": 3}, {"a": 4})
