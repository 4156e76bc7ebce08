"""A baseline is measured where there is history, assumed where the plan says so, never invented."""

import numpy as np
import pandas as pd
import pytest

from uplift.errors import DataError, DefinitionError
from uplift.metric_plan import PlannedMetric
from uplift.metrics import Metric
from uplift.sizing.baseline import baseline_of


def planned(**changes):
    plan = {name: changes.pop(name) for name in list(changes) if name.startswith("expected")}
    fields = {
        "name": "spend_28d",
        "version": 1,
        "title": "Spend",
        "column": "spend",
        "unit": "EUR",
        "window_days": 28,
        "owner": "crm",
        "covariate": "spend_28d_before",
    }
    return PlannedMetric(metric=Metric(**(fields | changes)), **plan)


@pytest.fixture(scope="module")
def history():
    rng = np.random.default_rng(5)
    before = rng.normal(50, 10, 20_000)
    spend = 10 + 0.8 * before + rng.normal(0, 6, 20_000)  # correlation 0.8
    earlier = 10 + 0.8 * before + rng.normal(0, 6, 20_000)
    return pd.DataFrame(
        {
            "spend": spend,
            "spend_28d_before": before,
            "spend_change_28d": before - earlier,
            "bought": (spend > 55).astype(int),
            "household": np.arange(20_000) // 4,
            "city": "Lyon",
        }
    )


def test_the_metrics_own_column_comes_first_and_its_covariate_explains_their_correlation(history):
    found = baseline_of(planned(), history)
    assert found.source == "history: spend"
    assert found.mean == pytest.approx(history["spend"].mean())
    assert found.std_dev == pytest.approx(history["spend"].std())
    assert found.variance_reduction == pytest.approx(0.64, abs=0.02)
    assert found.variance == pytest.approx(36, rel=0.03)  # what the covariate leaves: noise of 6


def test_before_the_campaign_two_equal_windows_in_a_row_tell_what_the_covariate_explains(history):
    found = baseline_of(planned(), history.drop(columns="spend"))
    assert found.source == "history: spend_28d_before"
    assert found.variance_reduction == pytest.approx(0.64, abs=0.02)


def test_a_covariate_of_unknown_worth_is_worth_nothing(history):
    assert baseline_of(planned(), history[["spend_28d_before"]]).variance_reduction == 0
    assert baseline_of(planned(covariate=None), history[["spend"]]).variance_reduction == 0


def test_a_proportion_spreads_as_its_mean_says(history):
    metric = planned(column="bought", kind="proportion", covariate=None)
    found = baseline_of(metric, history)
    mean = history["bought"].mean()
    assert found.variance == pytest.approx(mean * (1 - mean))
    assumed = planned(column="other", kind="proportion", covariate=None, expected_mean=0.2)
    assert baseline_of(assumed, history).std_dev == pytest.approx(0.4)


def test_a_cap_limits_the_values(history):
    capped = baseline_of(planned(cap=50.0), history)
    assert capped.mean == pytest.approx(np.minimum(history["spend"], 50).mean())


def test_members_of_a_household_that_are_alike_count_as_one(history):
    alike = history.assign(spend=np.repeat(history["spend"].to_numpy()[::4], 4))
    plan = planned(covariate=None)
    assert baseline_of(plan, alike, cluster="household").design_effect == pytest.approx(4, rel=0.1)
    assert baseline_of(plan, history, cluster="household").design_effect < 1.1
    assert baseline_of(plan, alike).design_effect == 1


def test_the_plan_is_used_where_history_is_silent(history):
    plan = planned(column="profit", covariate=None, expected_mean=3.0, expected_std_dev=9.0)
    assert baseline_of(plan, history).source == "plan"
    assert baseline_of(plan, None).variance == 81


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"column": "profit", "covariate": None}, "BASELINE_MISSING", "'profit'"),
        (
            {"column": "profit", "covariate": None, "expected_mean": 3.0},
            "BASELINE_MISSING",
            "std_dev",
        ),
        ({"column": "city", "covariate": None}, "BASELINE_INVALID", "numbers"),
        ({"kind": "proportion"}, "BASELINE_INVALID", "between 0 and 1"),
    ],
)
def test_a_baseline_that_cannot_be_known_is_refused(history, changes, code, said):
    with pytest.raises((DataError, DefinitionError), match=said) as error:
        baseline_of(planned(**changes), history)
    assert error.value.code == code


def test_too_little_history_is_refused(history):
    with pytest.raises(DataError, match="29 eligible") as error:
        baseline_of(planned(), history.iloc[:29])
    assert error.value.code == "BASELINE_INVALID"
