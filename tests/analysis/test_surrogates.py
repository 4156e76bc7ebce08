"""The long term read early: covered where the surrogates carry it, contradicted where not."""

import json

import numpy as np
import pandas as pd
import pytest

import uplift as up
from uplift.errors import DataError, DefinitionError
from uplift.experiment import experiment_from
from uplift.inference.moments import Moments
from uplift.inference.periods import covariances_of
from uplift.inference.surrogate import direct_effect, effect_by_index
from uplift.strict_yaml import parse_yaml

PLAN = """
id: {id}
title: Welcome
kind: ab_test
owner: crm
objective: profit
hypothesis: It pays.
audience: {{description: Everyone}}
arms:
  - {{name: control, share: 0.5}}
  - {{name: email, share: 0.5}}
{cluster}
metrics:
  primary:
    metric: {{name: spend, version: 1, title: Spend, column: spend, unit: EUR, window_days: 28,
             owner: crm}}
  no_guardrails_because: A test of the index.
schedule: {{starts_at: 2017-07-03T08:00:00, timezone: Europe/Paris, response_days: 28}}
analysis: {{decision_rule: Scale what is proven.}}
money: {{currency: EUR, value: spend}}
"""
NAMES = ["visits", "spend"]
WORTH = np.array([1.0, 3.0])
GAIN = np.array([0.5, 1.0])  # of the campaign, on the surrogates
TRUTH = float(WORTH @ GAIN)
R = 60
BAND = 3 * np.sqrt(0.05 * 0.95 / R)


def plan(name="welcome", cluster=""):
    return experiment_from(parse_yaml(PLAN.format(id=name, cluster=cluster)))


def customers(rng, n, *, prefix="c", treated=None, past=0.0):
    """Visits and spend of four weeks and the year that follows; `past`: what bypasses both."""
    treated = np.zeros(n) if treated is None else treated
    short = rng.gamma(2, 2, (n, 2)) + np.outer(treated, GAIN)
    year = 5 + short @ WORTH + past * treated + rng.normal(0, 6, n)
    units = [f"{prefix}{i}" for i in range(n)]
    return pd.DataFrame({"unit": units, "visits": short[:, 0], "spend": short[:, 1], "year": year})


def trial(rng, n=1_000, *, prefix="t", past=0.0):
    arm = rng.permutation(np.resize(["control", "email"], n))
    table = customers(rng, n, prefix=prefix, treated=(arm == "email").astype(float), past=past)
    return pd.DataFrame({"unit": table["unit"], "arm": arm}), table


def index_of(rng, n=800):
    return up.surrogate_index(customers(rng, n, prefix="h"), surrogates=NAMES, outcome="year")


@pytest.mark.parametrize(("past", "holds"), [(0.0, True), (-4.0, False)])
def test_the_year_is_covered_where_the_surrogates_carry_it_and_a_finished_test_tells(past, holds):
    rng = np.random.default_rng(1)
    inside, contradicted = [], []
    for i in range(R):
        index = index_of(rng, 200)
        assigned, outcomes = trial(rng, 600, past=past)
        found = index.effect(plan(), assigned, outcomes).row("email").estimate
        inside.append(found.ci[0] <= TRUTH + past <= found.ci[1])
        if i < 20:
            tried = index.tested_on(plan("old"), *trial(rng, 600, prefix="o", past=past))
            contradicted.append(not tried.evidence[0].check.passed)
    assert (np.mean(inside) >= 0.95 - BAND) == holds
    assert np.mean(contradicted) < 0.2 if holds else np.mean(contradicted) > 0.9


def test_it_is_the_index_of_the_inference_room_and_both_errors_add_up():
    rng = np.random.default_rng(2)
    index, (assigned, outcomes) = index_of(rng), trial(rng)
    report = index.effect(plan(), assigned, outcomes.sample(frac=1, random_state=1))
    found, columns = report.row("email"), [*NAMES, "year"]
    both = assigned.merge(outcomes, on="unit")
    arms = [
        Moments.of(both[both["arm"] == arm], columns, covariances_of(columns))
        for arm in ("email", "control")
    ]
    oracle = effect_by_index(index.index, *arms)
    assert found.estimate.effect == pytest.approx(oracle.estimate.effect)
    assert found.estimate.ci == pytest.approx(oracle.estimate.ci)
    total = np.hypot(found.sampling_error, found.index_error)
    assert total == pytest.approx(found.estimate.std_error)
    direct = direct_effect(index.index, *arms, outcome="year")
    tried = index.tested_on(plan("old"), assigned, outcomes).evidence[0]
    assert tried.direct.ci == pytest.approx(direct.ci)
    mean = both.groupby("arm")["year"].mean()
    assert tried.measured == pytest.approx(mean["email"] - mean["control"])


def test_the_words_name_assumptions_errors_and_evidence():
    rng = np.random.default_rng(3)
    index, (assigned, outcomes) = index_of(rng), trial(rng)
    report = index.effect(plan(), assigned, outcomes)
    text = " ".join(report.words)
    assert "email is expected to bring +" in text
    assert "through visits and spend only" in text
    assert "from the history of the index" in text
    assert "warning SURROGACY_UNTESTED" in str(report)
    tried = index.tested_on(plan("old"), *trial(rng, prefix="o"))
    known = tried.effect(plan(), assigned, outcomes)
    assert "In old, known to its end, email was expected to bring" in " ".join(known.words)
    assert "no difference is proven" in " ".join(known.words)
    assert "SURROGACY_UNTESTED" not in str(known)
    wrong = index.tested_on(plan("old"), *trial(rng, prefix="o", past=-5.0))
    assert "warning SURROGACY (" in str(wrong.effect(plan(), assigned, outcomes))
    assert json.loads(known.to_json())["evidence"][0]["experiment"] == "old"
    assert "explains" in str(index)


def test_households_give_the_error_where_they_were_drawn():
    rng = np.random.default_rng(4)
    index = index_of(rng)
    assigned, outcomes = trial(rng, 600)
    twice = pd.concat(  # every customer has a twin in the household: no more is known
        [assigned.assign(cluster=assigned["unit"], unit=assigned["unit"] + s) for s in ("", "b")]
    )
    both = pd.concat([outcomes, outcomes.assign(unit=outcomes["unit"] + "b")])
    single = index.effect(plan(), assigned, outcomes).row("email")
    homes = index.effect(plan(cluster="cluster: household"), twice, both).row("email")
    assert homes.estimate.effect == pytest.approx(single.estimate.effect)
    assert homes.sampling_error == pytest.approx(single.sampling_error)
    naive = index.effect(plan(), twice, both).row("email")
    assert naive.sampling_error < 0.8 * homes.sampling_error


def test_a_gap_is_refused_or_counts_0():
    rng = np.random.default_rng(5)
    index, (assigned, outcomes) = index_of(rng), trial(rng, 400)
    gone = outcomes.iloc[40:]
    with pytest.raises(DataError, match="missing='zero'") as caught:
        index.effect(plan(), assigned, gone)
    assert (caught.value.code, caught.value.count) == ("OUTCOME_MISSING", 40)
    zero = outcomes.assign(
        **{name: outcomes[name].where(outcomes.index >= 40, 0) for name in NAMES}
    )
    same = index.effect(plan(), assigned, zero).row("email").estimate
    found = index.effect(plan(), assigned, gone, missing="zero").row("email").estimate
    assert found.ci == pytest.approx(same.ci)


def test_customers_of_the_history_in_the_test_and_a_weak_index_are_pointed_out():
    rng = np.random.default_rng(6)
    history = customers(rng, 300, prefix="t").assign(year=rng.normal(size=300))
    index = up.surrogate_index(history, surrogates=NAMES, outcome="year")
    report = index.effect(plan(), *trial(rng, 400))
    assert "warning SURROGATE_OVERLAP (300)" in str(report)
    assert "warning INDEX_WEAK" in str(report)


@pytest.mark.parametrize(
    ("change", "options", "error", "code"),
    [
        ({}, {"surrogates": ["visits", "visits"]}, DefinitionError, "METRIC_DUPLICATE"),
        ({}, {"surrogates": []}, DefinitionError, "METRIC_DUPLICATE"),
        ({}, {"surrogates": ["visits", "year"]}, DefinitionError, "METRIC_DUPLICATE"),
        ({}, {"surrogates": ["clicks"]}, DataError, "COLUMN_MISSING"),
        ({"year": np.nan}, {}, DataError, "OUTCOME_NOT_FINITE"),
        ({"visits": "many"}, {}, DataError, "OUTCOME_NOT_NUMERIC"),
        ({"unit": "same"}, {}, DataError, "ID_DUPLICATE"),
    ],
)
def test_a_history_that_cannot_teach_is_refused(change, options, error, code):
    history = customers(np.random.default_rng(7), 50).assign(**change)
    with pytest.raises(error) as caught:
        up.surrogate_index(history, **{"surrogates": NAMES, "outcome": "year"} | options)
    assert caught.value.code == code
