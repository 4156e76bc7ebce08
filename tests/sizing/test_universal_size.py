"""The size of a universal control: formulas against simulation, and the two recommendations."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from uplift.errors import DefinitionError
from uplift.experiment import experiment_from
from uplift.inference.power import detectable_effect
from uplift.sizing.programme_prior import ProgrammePrior
from uplift.sizing.universal import choose_control_size
from uplift.strict_yaml import parse_yaml

TEXT = """
id: programme
title: The whole programme
kind: universal_control
owner: crm
objective: profit
hypothesis: It pays.
audience: {description: All}
arms:
  - {name: control, share: 0.02}
  - {name: programme, share: 0.98, unit_cost: 0.2}
metrics:
  primary:
    metric: {name: spend, version: 1, title: S, column: spend, kind: mean, owner: o,
      unit: EUR per customer, window_days: 30}
    minimum_effect: 0.04
    expected_mean: 20
    expected_std_dev: 40
    prior: {mean: 0.05, std_dev: 0.04, source: three earlier years}
schedule: {starts_at: 2024-01-01T08:00:00, timezone: Europe/Paris, response_days: 180}
rotation: {cohorts: 4, every_days: 91, washout_days: 60}
analysis: {decision_rule: Keep what is proven.}
money: {currency: EUR, value: spend, margin_rate: 0.3}
"""
N_UNITS = 200_000


def programme(*, text: str = TEXT):
    return experiment_from(parse_yaml(text))


@pytest.fixture(scope="module")
def size():
    return choose_control_size(programme(), n_units=N_UNITS)


def simulated_value(prior, std_error, *, rule, n_draws=400_000, seed=3):
    """E[theta * kept] by drawing truths and estimates; mean and its standard error."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(prior.mean, prior.std_dev, n_draws)
    estimate = rng.normal(truth, std_error)
    if rule == "posterior":
        shrink = prior.std_dev**2 / (prior.std_dev**2 + std_error**2)
        estimate = prior.mean + shrink * (estimate - prior.mean)
    kept = truth * (estimate > 0)
    return kept.mean(), kept.std() / np.sqrt(n_draws)


@pytest.mark.parametrize("rule", ["estimate", "posterior"])
@pytest.mark.parametrize("mean", [-0.1, 0.0, 0.3])
@pytest.mark.parametrize("std_error", [0.05, 0.4, 1.0])
def test_the_value_of_deciding_by_the_reading_is_what_simulation_gives(rule, mean, std_error):
    prior = ProgrammePrior(mean, 0.35)
    value, error = simulated_value(prior, std_error, rule=rule)
    assert prior.value(std_error, rule=rule) == pytest.approx(value, abs=4 * error)


def test_the_simulation_tells_the_rules_apart_and_a_forgotten_error():
    prior = ProgrammePrior(0.3, 0.35)
    value, error = simulated_value(prior, 0.4, rule="estimate")
    assert abs(prior.value(0.4, rule="posterior") - value) > 4 * error
    assert abs(prior.best_value - value) > 4 * error  # as if the reading had no error
    assert abs(prior.value(0.4**2) - value) > 4 * error  # a variance taken for an error


def test_knowing_more_is_never_worth_less_and_in_the_end_all():
    prior = ProgrammePrior(0.1, 0.35)
    errors = np.geomspace(1e-6, 1e3, 60)
    for rule in ("estimate", "posterior"):
        values = np.array([prior.value(error, rule=rule) for error in errors])
        assert (np.diff(values) <= 1e-12).all()
        assert values[0] == pytest.approx(prior.best_value, rel=1e-6)
    assert prior.value(1e6, rule="posterior") == pytest.approx(prior.mean)  # the prior decides
    assert prior.value(1e6, rule="estimate") == pytest.approx(prior.mean / 2, rel=1e-3)  # a coin


def test_the_smallest_share_just_shows_the_wanted_effect(size):
    assert size.wanted_effect == pytest.approx(0.8)
    assert size.smallest.mde == pytest.approx(0.8, rel=1e-9)
    assert size.smallest.share < 0.5
    n_control = size.smallest.share * N_UNITS
    assert size.smallest.mde == pytest.approx(
        detectable_effect(
            n_control=n_control, n_treatment=N_UNITS - n_control, control_variance=1600.0
        )
    )


def test_the_cheapest_share_is_the_minimum_of_the_loss(size):
    shares = tuple(np.linspace(0.0005, 0.5, 400))
    many = choose_control_size(programme(), n_units=N_UNITS, shares=shares)
    assert size.cheapest.loss <= min(option.loss for option in many.options) + 1e-6
    near = [o for o in many.options if abs(o.share - size.cheapest.share) < 0.002]
    assert min(o.loss for o in near) == pytest.approx(size.cheapest.loss, rel=1e-3)


def test_lost_profit_is_counted_by_hand(size):
    option = next(o for o in size.options if o.share == 0.05)
    profit = 0.3 * 20 * 0.05 - 0.2  # margin of the expected effect, less the contact
    assert size.prior.mean == pytest.approx(profit)
    assert option.n_control == 10_000
    assert option.lost_profit_period == pytest.approx(10_000 * profit)
    assert option.lost_profit == pytest.approx(10_000 * profit * 180 / 30)
    assert option.mde_money == pytest.approx(0.3 * option.mde)
    assert option.mde_relative == pytest.approx(option.mde / 20)


def test_where_the_programme_surely_pays_no_control_does():
    sure = choose_control_size(programme(), n_units=N_UNITS, prior=ProgrammePrior(2.0, 0.1))
    assert sure.without == pytest.approx(0, abs=1e-6)
    assert "no control pays" in sure.words()
    doubtful = choose_control_size(programme(), n_units=N_UNITS, prior=ProgrammePrior(0.02, 0.5))
    assert doubtful.cheapest.loss < doubtful.without
    assert doubtful.cheapest.share > sure.cheapest.share


def test_too_few_customers_cannot_show_the_effect_and_it_says_so():
    small = choose_control_size(programme(), n_units=2_000)
    assert small.smallest is None
    assert "No share can show an effect of 0.8" in small.words()
    assert {check.code for check in small.checks} == {"CANNOT_ANSWER"}
    assert not any(check.blocking for check in small.checks)


def test_a_planned_control_below_the_need_is_warned_of(size):
    assert [check.code for check in size.checks] == ["UNDERPOWERED"]
    assert "2.0 %" in size.checks[0].remedy


def test_history_gives_mean_and_spread(size):
    rng = np.random.default_rng(1)
    history = {"unit": [f"u{i}" for i in range(5_000)], "spend": rng.gamma(0.25, 80, 5_000)}
    known = choose_control_size(programme(), pd.DataFrame(history))
    assert known.n_units == 5_000
    assert known.options[0].mde != size.options[0].mde


def test_the_result_shows_itself(size):
    text = str(size)
    assert "costs least" in text
    assert "shows the effect" in text
    assert "To show an effect of 0.8000 EUR per customer" in text
    assert json.loads(size.to_json())["rule"] == "estimate"
    assert "<svg" in size.plot().svg()
    assert set(size.metrics()) == {"cheapest_share", "cheapest_loss", "smallest_share"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"n_units": None}, "DESIGN_UNITS"),
        ({"n_units": 3}, "DESIGN_UNITS"),
        ({"shares": ()}, "SHARES_INVALID"),
        ({"shares": (0.6,)}, "SHARES_INVALID"),
        ({"shares": (float("nan"),)}, "SHARES_INVALID"),
        ({"horizon_days": 0}, "ARGUMENT_INVALID"),
        ({"decision_days": 0}, "ARGUMENT_INVALID"),
        ({"rule": "hope"}, "ARGUMENT_INVALID"),
    ],
)
def test_what_cannot_be_answered_is_refused(change, code):
    with pytest.raises(DefinitionError) as caught:
        choose_control_size(programme(), **{"n_units": N_UNITS, **change})
    assert caught.value.code == code


def test_a_prior_must_be_given_or_planned():
    text = TEXT.replace("    prior: {mean: 0.05, std_dev: 0.04, source: three earlier years}\n", "")
    with pytest.raises(DefinitionError, match="Give a prior") as caught:
        choose_control_size(programme(text=text), n_units=N_UNITS)
    assert caught.value.code == "PRIOR_MISSING"
    for mean, std_dev in ((0.1, 0.0), (float("nan"), 1.0), (0.1, float("inf"))):
        with pytest.raises(DefinitionError) as caught:
            ProgrammePrior(mean, std_dev)
        assert caught.value.code == "PRIOR_INVALID"


def test_a_programme_without_a_metric_in_money_is_refused():
    with pytest.raises(DefinitionError) as caught:
        choose_control_size(
            programme(text=TEXT.replace("value: spend", "value: revenue")), n_units=N_UNITS
        )
    assert caught.value.code == "VALUE_METRIC_MISSING"


def test_a_larger_reading_error_never_makes_the_cost_of_not_knowing_smaller(size):
    noisy = choose_control_size(
        programme(text=TEXT.replace("expected_std_dev: 40", "expected_std_dev: 80")),
        n_units=N_UNITS,
    )
    for plain, other in zip(size.options, noisy.options, strict=True):
        assert other.cost_of_not_knowing > plain.cost_of_not_knowing
        assert replace(other, mde=0.0).lost_profit == plain.lost_profit
