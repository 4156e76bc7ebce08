"""Divergence of a universal control: chance is not warned of, long holding is."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from uplift.assignment.divergence import ALARM_P_VALUE, STILL_THERE, check_divergence
from uplift.checks import blocked_by
from uplift.errors import DataError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AGES = {1: 360, 2: 270, 3: 180, 4: 90}  # days


def compared(rng, *, n_control=400, n_other=4_000, shift=lambda age: 0.0, leaving=0.0):
    """Cohorts of one base, and the customers of today; `shift` moves the spend of those held."""
    parts, rows = [], []
    for cohort, age in AGES.items():
        n = n_control + n_other
        control = np.arange(n) < n_control
        units = np.array([f"c{cohort}u{i}" for i in range(n)])
        spend = rng.normal(10, 4, n) + 4 * shift(age) * control
        frame = pd.DataFrame({"unit": units, "spend": spend, "age": rng.normal(40, 10, n)})
        rows.append(frame[~(control & (rng.random(n) < leaving))])
        weight = np.where(control, 1 / n_control, 1 / n_other)
        arm = np.where(control, "control", "programme")
        parts.append(
            (cohort, pd.DataFrame({"unit": units, "cluster": units, "arm": arm, "weight": weight}))
        )
    return parts, pd.concat(rows, ignore_index=True)


def found(parts, customers, **options):
    starts = {cohort: NOW - timedelta(days=age) for cohort, age in AGES.items()}
    return check_divergence(parts, customers, starts=starts, as_of=NOW, **options)


def warned(result) -> set[str]:
    return {check.name for check in result.checks if not check.passed}


def test_a_control_that_is_like_the_others_is_not_warned_of():
    rng = np.random.default_rng(5)
    result = found(*compared(rng))
    assert warned(result) == set()
    assert {d.covariate for d in result.drifts} == {"spend", "age", STILL_THERE}
    assert len(result.gaps) == 3 * len(AGES)


def test_a_control_that_has_moved_is_warned_of_and_nothing_is_blocked():
    rng = np.random.default_rng(6)
    result = found(*compared(rng, shift=lambda age: 0.3))
    assert warned(result) == {"divergence spend"}
    assert not blocked_by(result.checks)
    drift = next(d for d in result.drifts if d.covariate == "spend")
    assert drift.difference == pytest.approx(0.3, abs=4 * 0.027)  # 1 / sqrt(1600) and a little
    assert "CONTROL_DIVERGED" in str(result)


def test_what_grows_with_the_time_held_out_is_a_drift():
    rng = np.random.default_rng(7)
    result = found(*compared(rng, shift=lambda age: -0.5 * age / 365.25))
    drift = next(d for d in result.drifts if d.covariate == "spend")
    assert {"drift spend"} <= warned(result)
    assert drift.slope == pytest.approx(-0.5, abs=4 * 0.1)
    assert drift.at_oldest == pytest.approx(drift.slope * 360 / 365.25)
    assert "drift age" not in warned(result)


def test_leaving_more_often_is_seen_although_those_who_left_have_no_row():
    rng = np.random.default_rng(8)
    result = found(*compared(rng, leaving=0.05))
    assert warned(result) == {f"divergence {STILL_THERE}"}


def test_a_difference_below_the_bound_is_none_however_sure():
    rng = np.random.default_rng(9)
    parts, customers = compared(rng, n_control=8_000, n_other=8_000, shift=lambda age: 0.06)
    drift = next(d for d in found(parts, customers).drifts if d.covariate == "spend")
    assert drift.p_value < ALARM_P_VALUE
    assert warned(found(parts, customers)) == set()
    assert warned(found(parts, customers, bound=0.02)) == {"divergence spend"}


@pytest.mark.parametrize("n_worlds", [40, pytest.param(400, marks=pytest.mark.slow)])
def test_chance_raises_an_alarm_no_more_often_than_stated(n_worlds):
    """Bound 0, so that the p value decides alone: two families of three, each at 1 %."""
    rng = np.random.default_rng(10)
    alarms = sum(
        bool(warned(found(*compared(rng, n_control=60, n_other=300), bound=0.0)))
        for _ in range(n_worlds)
    )
    assert alarms <= stats.binom.ppf(0.9999, n_worlds, 2 * ALARM_P_VALUE)


def test_two_members_of_a_household_count_as_one():
    rng = np.random.default_rng(11)
    parts, customers = compared(rng, n_control=100, n_other=500)
    twice = [
        (c, pd.concat([p, p.assign(unit="x" + p["unit"])], ignore_index=True)) for c, p in parts
    ]
    both = pd.concat([customers, customers.assign(unit="x" + customers["unit"])], ignore_index=True)
    single, double = found(parts, customers), found(twice, both)
    for one, two in zip(single.gaps, double.gaps, strict=True):
        assert two.difference == pytest.approx(one.difference)
        assert two.std_error == pytest.approx(one.std_error, nan_ok=True)


def test_a_column_that_never_varies_is_no_difference_and_one_that_only_differs_is_nan_free_json():
    rng = np.random.default_rng(12)
    parts, customers = compared(rng, n_control=50, n_other=200)
    result = found(parts, customers.assign(country=1.0))
    country = next(d for d in result.drifts if d.covariate == "country")
    assert (country.difference, country.p_value) == (0.0, 1.0)
    assert "NaN" not in result.to_json()
    assert "covariate" in result.cohorts_table().text()


def test_without_a_control_there_is_nothing_to_check():
    with pytest.raises(DataError) as caught:
        found([], pd.DataFrame({"unit": ["a"], "spend": [1.0]}))
    assert caught.value.code == "CONTROL_EMPTY"
