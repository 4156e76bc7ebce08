"""Draws are even, independent of each other, and a growing test moves nobody between arms."""

import itertools
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scipy import stats

from uplift.assignment.growthbook import growthbook_hashes
from uplift.assignment.hashing import (
    draw_arms,
    draw_salt,
    exact_shares,
    hash_units,
    inside,
    salt_of,
    slots,
    takes_part,
    threshold_of,
)
from uplift.errors import DefinitionError
from uplift.experiment import experiment_from, load_experiment
from uplift.inference.multiplicity import holm
from uplift.strict_yaml import parse_yaml

N_UNITS = 1_000_000
EXPERIMENTS = [f"e{i}" for i in range(15)]  # 105 pairs


def ids(shape: str, n_units: int = N_UNITS) -> pa.Array:
    numbers = pa.array(np.arange(n_units)).cast(pa.string())
    if shape == "sequential":
        return numbers
    if shape == "email":
        return pc.binary_join_element_wise(numbers, "@shop.example", "")
    words = np.random.default_rng(5).integers(0, 2**32, n_units).astype(np.uint32)
    tail = pa.array([f"{word:08x}" for word in words.tolist()])
    return pc.binary_join_element_wise(
        "e4b1c2d0-1f3a-4c55-9a77", pc.utf8_lpad(numbers, 8, "0"), tail, "-"
    )


def evenness(places, n_parts=1024) -> float:
    counts = np.bincount((places * n_parts).astype(np.int64), minlength=n_parts)
    return float(stats.chisquare(counts).pvalue)


def dependence(draws, n_parts=4) -> list[float]:
    """p values of independence of every pair of draws, each cut into equal parts."""
    parts = [(places * n_parts).astype(np.int64) for places in draws]
    tables = (
        np.bincount(a * n_parts + b, minlength=n_parts**2).reshape(n_parts, n_parts)
        for a, b in itertools.combinations(parts, 2)
    )
    return [float(stats.chi2_contingency(table).pvalue) for table in tables]


def test_a_million_ids_of_every_shape_fall_evenly():
    p_values = [
        evenness(slots(hash_units(ids(shape), salt=salt_of("spring", "arm"))))
        for shape in ("sequential", "uuid", "email")
    ]
    assert holm(p_values).min() > 0.001


def test_a_share_of_the_ids_that_is_drawn_twice_as_often_fails_the_same_check():
    places = slots(hash_units(ids("sequential", 100_000), salt="s"))
    assert evenness(np.where(places < 0.01, places * 2, places)) < 0.001


@pytest.mark.parametrize("shape", ["sequential", "uuid", "email"])
def test_a_hundred_pairs_of_experiments_are_independent(shape):
    units = ids(shape, 20_000)
    draws = [slots(hash_units(units, salt=salt_of(name, "arm"))) for name in EXPERIMENTS]
    assert len(dependence(draws)) > 100
    assert holm(dependence(draws)).min() > 0.001


def test_growthbook_s_first_hash_and_one_without_the_experiment_fail_the_same_check():
    units = ids("sequential", 20_000)
    first = [growthbook_hashes(units, seed=name, version=1) for name in EXPERIMENTS]
    assert holm(dependence(first)).min() < 1e-6
    second = [growthbook_hashes(units, seed=name, version=2) for name in EXPERIMENTS]
    assert holm(dependence(second)).min() > 0.001
    saltless = [slots(hash_units(units, salt="arm"))] * 2
    assert dependence(saltless)[0] < 1e-6


TEXT = """
id: spring
title: Spring
kind: campaign_holdout
owner: crm
objective: profit
hypothesis: It pays.
audience: {description: All}
arms:
  - {name: control, share: 1/3}
  - {name: mail, share: 1/3, unit_cost: 0.5}
  - {name: push, share: 1/3, unit_cost: 0.1}
metrics:
  primary:
    metric: {name: spend, version: 1, title: S, column: spend, unit: EUR, window_days: 28, owner: o}
schedule:
  starts_at: 2017-07-03T08:00:00
  timezone: Europe/Paris
  response_days: 28
  waves:
    - {name: first, starts_at: 2017-07-03T08:00:00}
    - {name: reminder, starts_at: 2017-07-10T08:00:00}
    - {name: autumn, starts_at: 2017-09-04T08:00:00, draw: redrawn}
analysis: {decision_rule: Scale what is proven.}
money: {currency: EUR, value: spend, margin_rate: 0.3}
"""


def read(**plan):
    extra = f"assignment: {plan}\n".replace("'", "").replace("None", "null") if plan else ""
    return experiment_from(parse_yaml(TEXT + extra))


def test_each_purpose_has_a_salt_of_its_own():
    experiment = read(layer="{name: mailing, start: 0, end: 1/2}")
    assert draw_salt(experiment) == "spring:arm:1"
    assert draw_salt(experiment, "eligibility") == "spring:eligibility:1"
    assert draw_salt(experiment, "holdout") == "spring:holdout:1"
    assert draw_salt(experiment, "layer") == "mailing:layer:1"  # shared by the layer's experiments
    assert draw_salt(read(salt="spring_2016")) == "spring_2016:arm:1"
    with pytest.raises(DefinitionError, match="in no layer") as error:
        draw_salt(read(), "layer")
    assert error.value.code == "LAYER_MISSING"


def test_sticky_waves_keep_the_arms_and_redrawn_ones_draw_anew():
    experiment = read()
    assert salt_of("exp", "arm", wave="wave2") == "exp:arm:wave2:1"
    assert draw_salt(experiment, wave="reminder") == draw_salt(experiment)
    assert draw_salt(experiment, wave="autumn") == "spring:arm:autumn:1"
    assert draw_salt(experiment, "eligibility", wave="autumn") == "spring:eligibility:1"
    units = ids("email", 20_000)
    draws = [
        slots(hash_units(units, salt=draw_salt(experiment, wave=w))) for w in ("first", "autumn")
    ]
    assert dependence(draws)[0] > 0.001
    with pytest.raises(DefinitionError, match="no wave 'winter'") as error:
        draw_salt(experiment, wave="winter")
    assert error.value.code == "WAVE_UNKNOWN"


def test_a_growing_exposure_share_adds_units_and_moves_nobody():
    units = ids("email", 50_000)
    taken, arms = [], []
    for share in ("1/20", "1/2", "1"):
        experiment = read(exposure_share=share)
        taken.append(takes_part(units, experiment))
        values = hash_units(units, salt=draw_salt(experiment))
        arms.append(draw_arms(values, exact_shares(experiment)))
        expected = len(units) * float(Fraction(share))
        assert abs(taken[-1].sum() - expected) < 4 * np.sqrt(expected)
        counts = np.bincount(arms[-1][taken[-1]], minlength=3)
        assert stats.chisquare(counts).pvalue > 0.001  # shares hold among those who take part
    assert (taken[0] <= taken[1]).all()
    assert (taken[1] <= taken[2]).all()
    assert all((drawn == arms[0]).all() for drawn in arms)


def test_one_salt_for_taking_part_and_for_the_arm_would_fill_one_arm_only():
    units = ids("email", 50_000)
    experiment = read(exposure_share="1/4")
    values = hash_units(units, salt=draw_salt(experiment))
    first = inside(values, Fraction(0), Fraction(1, 4))
    counts = np.bincount(draw_arms(values, exact_shares(experiment))[first], minlength=3)
    assert stats.chisquare(counts).pvalue < 1e-6


def test_experiments_of_one_layer_share_no_unit_where_their_parts_do_not_meet():
    units = ids("email", 20_000)
    parts = [
        takes_part(units, read(layer=f"{{name: mailing, start: {start}, end: {end}}}"))
        for start, end in (("0", "1/3"), ("1/3", "2/3"), ("2/3", "1"))
    ]
    assert (np.sum(parts, axis=0) == 1).all()


def test_the_ends_of_the_slots_are_exact():
    values = np.array([0, 2**63 - 1, 2**63, 2**64 - 1], dtype=np.uint64)
    assert inside(values, Fraction(0), Fraction(1)).all()
    assert inside(values, Fraction(1, 2), Fraction(1)).tolist() == [False, False, True, True]
    assert not inside(values, Fraction(1), Fraction(1)).any()
    nearly = 1 - Fraction(1, 2**70)  # its threshold is 2^64, which no value reaches
    assert threshold_of(nearly) == 2**64
    assert inside(values, Fraction(0), nearly).all()
    shares = {"control": Fraction(1, 2**70), "a": nearly}
    assert (draw_arms(values, shares) == 1).all()


@pytest.mark.parametrize("name", ["spring_voucher", "hillstrom_email", "universal_control"])
def test_shipped_experiments_keep_the_salt_they_had(root, name):
    assert draw_salt(load_experiment(root / "experiments" / name)) == f"{name}:arm:1"
