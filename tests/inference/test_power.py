import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import NormalIndPower

from uplift.errors import DefinitionError
from uplift.inference import power as planner
from uplift.inference.means import welch
from uplift.inference.moments import Moments

HALF = {"control_share": 0.5, "treatment_share": 0.5}
HILLSTROM_SPEND = 64_000  # customers of the e-mail test


def test_units_effect_and_power_are_one_equation():
    variances = {"control_variance": 4.0, "treatment_variance": 9.0}
    n = planner.required_units(
        0.3, control_share=0.2, treatment_share=0.5, **variances, confidence=0.9, power=0.85
    )
    arms = {"n_control": 0.2 * n, "n_treatment": 0.5 * n}
    found = planner.detectable_effect(**arms, **variances, confidence=0.9, power=0.85)
    assert found == pytest.approx(0.3, rel=1e-12)
    reached = planner.power_of(0.3, **arms, **variances, confidence=0.9)
    assert reached == pytest.approx(0.85, abs=1e-4)  # the far tail adds a little


@pytest.mark.parametrize("ratio", [0.25, 1.0, 4.0])
def test_power_is_that_of_statsmodels(ratio):
    oracle = NormalIndPower().power(0.2, nobs1=400, alpha=0.05, ratio=ratio)
    found = planner.power_of(0.2, n_control=400, n_treatment=400 * ratio, control_variance=1.0)
    assert found == pytest.approx(oracle, rel=1e-10)


def test_published_sample_sizes_agree():
    continuous = planner.required_units(0.3, **HALF, control_variance=100, power=0.85)
    assert continuous == pytest.approx(39_906, rel=0.005)
    binary = planner.required_units_proportion(0.34, 0.003, **HALF, power=0.85)
    assert binary == pytest.approx(897_348, rel=0.005)


def test_a_small_holdout_sees_only_large_effects():
    """Spend per customer of the e-mail test: standard deviation 11.6, control mean 0.653."""
    effects = [
        planner.detectable_effect(
            n_control=share * HILLSTROM_SPEND,
            n_treatment=(1 - share) * HILLSTROM_SPEND,
            control_variance=11.6**2,
        )
        for share in (0.5, 0.1, 0.05, 0.01)
    ]
    assert effects == sorted(effects)
    assert effects[0] == pytest.approx(0.257, abs=0.001)
    assert effects[1] == pytest.approx(0.428, abs=0.001)


def test_a_detectable_rise_of_a_proportion_has_the_power_asked_for():
    arms = {"n_control": 2_000, "n_treatment": 6_000}
    rise = planner.detectable_proportion(0.02, **arms)
    assert planner.power_of_proportion(0.02, rise, **arms) == pytest.approx(0.8, abs=1e-6)
    assert np.isnan(planner.detectable_proportion(0.9, n_control=5, n_treatment=5))


def test_a_planned_power_of_80_percent_is_reached():
    rng = np.random.default_rng(1)
    n = planner.required_units(
        0.5, control_share=0.25, treatment_share=0.75, control_variance=1, treatment_variance=4
    )
    n_c, n_t = round(0.25 * n), round(0.75 * n)
    found = []
    for _ in range(1_000):
        t = Moments.of({"y": rng.normal(0.5, 2, n_t)}, ["y"])
        c = Moments.of({"y": rng.normal(0, 1, n_c)}, ["y"])
        found.append(welch(t, c, column="y").p_value < 0.05)
    assert np.mean(found) == pytest.approx(0.8, abs=3 * np.sqrt(0.16 / 1_000) + 0.005)


def test_no_effect_is_found_at_the_error_rate():
    found = planner.power_of(0.0, n_control=10, n_treatment=10, control_variance=1, confidence=0.9)
    assert found == pytest.approx(0.1)
    assert planner.power_of(1.0, n_control=9, n_treatment=9, control_variance=0) == 1
    assert stats.norm.sf(0) == 0.5


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: planner.required_units(0, **HALF, control_variance=1), "EFFECT_INVALID"),
        (
            lambda: planner.required_units(
                1, control_share=0.7, treatment_share=0.7, control_variance=1
            ),
            "WEIGHTS_INVALID",
        ),
        (
            lambda: planner.required_units(1, **HALF, control_variance=1, power=80),
            "PROBABILITY_INVALID",
        ),
        (
            lambda: planner.power_of(1, n_control=0, n_treatment=5, control_variance=1),
            "ARM_TOO_SMALL",
        ),
        (
            lambda: planner.power_of(1, n_control=5, n_treatment=5, control_variance=-1),
            "VARIANCE_INVALID",
        ),
        (lambda: planner.required_units_proportion(0.9, 0.2, **HALF), "PROPORTION_INVALID"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(call, code):
    with pytest.raises(DefinitionError) as caught:
        call()
    assert caught.value.code == code
