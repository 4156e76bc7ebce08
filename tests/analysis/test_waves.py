"""Waves: customers who are drawn anew are read by customer, and every response counts once."""

import numpy as np
import pandas as pd
import pytest

import uplift as up
from tests.plans import spend_plan
from uplift.analysis.waves import outcomes_by_wave
from uplift.errors import DataError
from uplift.experiment import experiment_from
from uplift.inference.crossed import covariances_of_arms, crossed
from uplift.inference.means import welch
from uplift.inference.moments import Moments
from uplift.inference.ratios import ratio
from uplift.strict_yaml import parse_yaml

PLAN = spend_plan(
    id="weekly",
    title="Weekly letter",
    arms=(
        "{name: control, share: 0.5}",
        "{name: letter, share: 0.5, channel: post, unit_cost: 0.5}",
    ),
    schedule="""
  starts_at: 2017-07-03T08:00:00
  timezone: Europe/Paris
  response_days: 10
  waves:
    - {name: first, starts_at: 2017-07-03T08:00:00}
    - {name: second, starts_at: 2017-07-10T08:00:00, draw: redrawn}
    - {name: third, starts_at: 2017-07-17T08:00:00, draw: redrawn}""",
)
WAVES = ("first", "second", "third")
COLUMNS = ("total t", "draws t", "total c", "draws c")


def experiment():
    return experiment_from(parse_yaml(PLAN))


def rows(n=3000, *, seed=0, effect=1.0, sticky=False):
    """Customers whose spend in all waves goes together, one row per wave."""
    rng = np.random.default_rng(seed)
    customer = np.repeat(np.arange(n), len(WAVES))
    treated = np.repeat(rng.random(n) < 0.5, 3) if sticky else rng.random(3 * n) < 0.5
    level = np.repeat(rng.gamma(2, 5, n), len(WAVES))
    table = pd.DataFrame({"unit": [f"c{i}" for i in customer], "wave": list(WAVES) * n})
    table["arm"] = np.where(treated, "letter", "control")
    table["spend"] = level + rng.normal(0, 1, 3 * n) + effect * treated
    return table


def of_customers(table):
    customer = pd.factorize(table["unit"])[0]
    wide = {}
    for arm, sign in (("letter", "t"), ("control", "c")):
        mine = (table["arm"] == arm).to_numpy(float)
        wide[f"total {sign}"] = np.bincount(customer, mine * table["spend"])
        wide[f"draws {sign}"] = np.bincount(customer, mine)
    return Moments.of(wide, COLUMNS, covariances_of_arms([COLUMNS[:2], COLUMNS[2:]]))


def read_by_customer(table):
    return crossed(of_customers(table), treatment=COLUMNS[:2], control=COLUMNS[2:])


def coverage(estimate, *, sticky, reps=500):
    return np.mean(
        [
            low < 1.0 < high
            for seed in range(reps)
            for low, high in [estimate(rows(60, seed=seed, sticky=sticky)).ci]
        ]
    )


def read_by_row(table):
    arms = [Moments.of(table[table["arm"] == arm], ["spend"]) for arm in ("letter", "control")]
    return welch(*arms, column="spend")


def test_the_interval_covers_whether_customers_keep_their_arm_or_not():
    band = 3 * np.sqrt(0.05 * 0.95 / 500)
    assert coverage(read_by_customer, sticky=False) > 0.95 - band
    assert coverage(read_by_customer, sticky=True) > 0.95 - band
    assert coverage(read_by_row, sticky=True) < 0.95 - 3 * band  # the wrong variant


def test_with_one_arm_per_customer_it_is_the_ratio_by_cluster():
    table = rows(sticky=True)
    found = read_by_customer(table)
    totals = table.groupby(["arm", "unit"])["spend"].agg(["sum", "size"]).astype(float)
    arms = [
        Moments.of(totals.loc[arm], ["sum", "size"], [("sum", "size")])
        for arm in ("letter", "control")
    ]
    by_cluster = ratio(*arms, numerator="sum", denominator="size")
    assert found.effect == pytest.approx(by_cluster.effect, rel=1e-12)
    assert found.std_error == pytest.approx(by_cluster.std_error, rel=1e-3)


def test_an_experiment_with_redrawn_waves_is_read_by_customer():
    table = rows()
    report = up.analyse(
        experiment(),
        table[["unit", "wave", "arm"]],
        table[["unit", "wave", "spend"]],
        as_of="2017-08-30",
    )
    row = report.effect("spend@1", "letter")
    plain = read_by_customer(table)
    assert row.method == "by customer"
    assert row.effect == pytest.approx(plain.effect, rel=1e-9)
    assert row.std_error == pytest.approx(plain.std_error, rel=1e-9)
    assert [one.wave for one in report.waves] == list(WAVES)
    second = table[table["wave"] == "second"]
    assert report.waves[1].estimate.effect == pytest.approx(read_by_row(second).effect, rel=1e-9)


def test_households_that_are_drawn_anew_are_read_by_household():
    table = rows()
    table["cluster"] = "h" + table["unit"].str[1:].astype(int).floordiv(2).astype(str)
    arm = table.groupby(["cluster", "wave"])["arm"].transform("first")  # one per draw
    table["spend"] += np.where(arm == "letter", 1.0, 0.0) - (table["arm"] == "letter")
    table["arm"] = arm
    household = experiment_from(parse_yaml(f"{PLAN}\ncluster: household\n"))
    report = up.analyse(
        household,
        table[["unit", "wave", "arm", "cluster"]],
        table[["unit", "wave", "spend"]],
        as_of="2017-08-30",
    )
    row = report.effect("spend@1", "letter")
    plain = read_by_customer(table.assign(unit=table["cluster"]))
    assert row.method == "by customer"
    assert row.effect == pytest.approx(plain.effect, rel=1e-9)
    assert row.std_error == pytest.approx(plain.std_error, rel=1e-9)
    assert row.std_error != pytest.approx(read_by_customer(table).std_error, rel=1e-3)
    assert [one.wave for one in report.waves] == list(WAVES)


def test_only_waves_whose_window_has_closed_are_read():
    table = rows()
    report = up.analyse(
        experiment(),
        table[["unit", "wave", "arm"]],
        table[["unit", "wave", "spend"]],
        as_of="2017-07-22",
    )
    assert sum(report.analysed.values()) == 2 * 3000
    assert report.look is None  # the plan declares none before the end
    assert report.decision.action == "none"


def test_an_event_belongs_to_the_last_wave_before_it_and_counts_once():
    events = pd.DataFrame(
        {
            "unit": ["a"] * 5,
            "occurred_at": [
                "2017-07-03T07:59",
                "2017-07-04T12:00",
                "2017-07-11T12:00",
                "2017-07-20T12:00",
                "2017-07-29T12:00",
            ],
            "spend": [1.0, 2.0, 4.0, 8.0, 16.0],
        }
    )
    found = outcomes_by_wave(experiment(), events)
    assert dict(zip(found["wave"], found["spend"], strict=True)) == {
        "first": 2.0,
        "second": 4.0,
        "third": 8.0,
    }  # before the first wave, and after the last window, nothing counts


def test_outcomes_of_redrawn_waves_must_name_their_wave():
    table = rows(50)
    with pytest.raises(DataError, match="outcomes_by_wave") as refused:
        up.analyse(experiment(), table[["unit", "wave", "arm"]], table[["unit", "spend"]])
    assert refused.value.code == "COLUMN_MISSING"
    wrong = table.assign(wave="fourth")
    with pytest.raises(DataError) as refused:
        up.analyse(experiment(), wrong[["unit", "wave", "arm"]], wrong[["unit", "wave", "spend"]])
    assert refused.value.code == "WAVE_UNKNOWN"
