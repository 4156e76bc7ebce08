"""Power of proving a rare share within a margin agrees with statsmodels and simulation."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import test_proportions_2indep as score_test_of_statsmodels

from uplift.errors import DefinitionError
from uplift.inference import margin_score, noninferiority

CASES = [(0.002, 0.05, 70, 90), (0.02, 0.04, 120, 240), (0.0, 0.03, 150, 100), (0.1, 0.1, 60, 80)]


def within_margin(x_c, x_t, n_c, n_t, margin):
    """Whether the one-sided score test at 5 % rules out a rise by the margin."""
    with np.errstate(all="ignore"):  # it also divides one share by the other
        found = score_test_of_statsmodels(
            x_t, n_t, x_c, n_c, value=margin, method="score", compare="diff", alternative="smaller"
        )
    return found.pvalue < 0.05


@pytest.mark.parametrize(("mean", "margin", "n_c", "n_t"), CASES)
def test_power_is_that_of_the_score_test_summed_over_all_counts(mean, margin, n_c, n_t):
    power = 0.0
    likely = [
        np.flatnonzero(stats.binom.pmf(np.arange(n + 1), n, mean) > 1e-10) for n in (n_c, n_t)
    ]
    for x_c in likely[0]:
        for x_t in likely[1]:
            weight = stats.binom.pmf(x_c, n_c, mean) * stats.binom.pmf(x_t, n_t, mean)
            power += weight * within_margin(x_c, x_t, n_c, n_t, margin)
    found = margin_score.power_of_margin_score(mean, margin, n_control=n_c, n_treatment=n_t)
    assert found == pytest.approx(power, abs=1e-6)


@pytest.mark.parametrize("mean", [0.0, 0.002, 0.01])
def test_units_needed_have_the_wanted_power_and_those_of_the_plain_formula_do_not(mean):
    shares = {"control_share": 0.3, "treatment_share": 0.7}
    needed = margin_score.required_units_margin_score(mean, 0.02, **shares, power=0.9)
    plain = noninferiority.required_units_noninferiority(
        0.02, **shares, variance=max(mean * (1 - mean), 1e-9), power=0.9
    )

    def power(n):
        counts = {"n_control": max(round(0.3 * n), 2), "n_treatment": max(round(0.7 * n), 2)}
        return margin_score.power_of_margin_score(mean, 0.02, **counts)

    assert power(1.1 * needed) >= 0.9  # counts are whole, so the power goes up in steps
    assert power(plain) < 0.8 or mean == 0.01  # where there are events enough
    back = margin_score.detectable_margin_score(
        mean, n_control=0.3 * needed, n_treatment=0.7 * needed, power=0.9
    )
    assert back == pytest.approx(0.02)


def test_many_events_lead_back_to_the_plain_formula():
    arms = {"n_control": 40_000, "n_treatment": 60_000}
    found = margin_score.power_of_margin_score(0.05, 0.004, **arms)
    plain = noninferiority.power_of_noninferiority(0.004, **arms, variance=0.05 * 0.95)
    assert found == pytest.approx(plain, abs=0.005)


@pytest.mark.parametrize(("mean", "margin"), [(1.0, 0.1), (-0.1, 0.1), (0.1, 0.0)])
def test_what_is_no_share_or_no_margin_is_refused(mean, margin):
    with pytest.raises(DefinitionError) as error:
        margin_score.power_of_margin_score(mean, margin, n_control=50, n_treatment=50)
    assert error.value.code in ("PROPORTION_INVALID", "MARGIN_INVALID")
