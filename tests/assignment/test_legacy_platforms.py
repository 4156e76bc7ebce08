"""Draws of PlanOut, Optimizely, Statsig and Eppo beyond their published cases."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.utils import murmurhash3_32

from uplift.assignment.legacy import SYSTEMS, assign_as
from uplift.assignment.platforms import (
    eppo_shard,
    murmur3_32,
    optimizely_bucket,
    optimizely_choice,
    planout_bernoulli,
    planout_integer,
    planout_key,
    planout_uniform,
    planout_weighted_choice,
    statsig_passes,
    statsig_user_bucket,
)
from uplift.errors import DefinitionError

UNITS = [f"c{i}" for i in range(4_000)]
DEFINITIONS = {
    "growthbook": {"key": "e", "variations": ["a", "b"], "weights": [0.25, 0.75]},
    "planout": {"salt": "e.p", "choices": ["a", "b"], "weights": [1, 3]},
    "optimizely": {"parent_id": 17, "allocation": [["a", 2_500], ["b", 10_000]]},
    "statsig": {"spec_salt": "s", "rule_salt": "r", "pass_percent": 75, "arms": ["a", "b"]},
    "eppo": {
        "experiment": "e",
        "percent_exposure": 1,
        "variations": [
            {"value": "a", "start": 0, "end": 2_500},
            {"value": "b", "start": 2_500, "end": 10_000},
        ],
    },
}


@pytest.mark.parametrize("size", range(9))
def test_murmur_is_scikit_learn_s(size):
    rng = np.random.default_rng(size)
    for data in (rng.bytes(size), rng.bytes(size + 64), "José🛒".encode() * size):
        for seed in (0, 1, 2**31):
            assert murmur3_32(data, seed=seed) == murmurhash3_32(data, seed=seed, positive=True)


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_keeps_the_shares_of_its_definition(system):
    arms = assign_as(system, DEFINITIONS[system], pd.Series(UNITS))
    counts = [np.sum(arms == "a"), np.sum(arms == "b")]
    assert sum(counts) == len(UNITS)
    assert stats.chisquare(counts, [1_000, 3_000]).pvalue > 0.001
    assert assign_as(system, DEFINITIONS[system], UNITS[:7]).tolist() == arms[:7].tolist()


def test_units_outside_an_experiment_have_no_arm():
    eppo = DEFINITIONS["eppo"] | {"percent_exposure": 0.3}
    arms = assign_as("eppo", eppo, UNITS)
    assert 0.25 < np.mean([arm is not None for arm in arms]) < 0.35
    assert optimizely_choice(9_000, [["a", 5_000]]) is None
    assert optimizely_choice(4_000, [["", 5_000], ["a", 10_000]]) is None
    assert optimizely_choice(4_000, [[0, 5_000]]) == 0


def test_a_universal_flag_takes_the_first_split_all_of_whose_shards_hold_the_subject():
    def shard(salt, end):
        return {"salt": salt, "ranges": [{"start": 0, "end": end}]}

    splits = [
        {"variationKey": "a", "shards": [shard("traffic", 5_000), shard("split", 5_000)]},
        {"variationKey": "b", "shards": [shard("traffic", 5_000)]},
    ]
    for unit, arm in zip(UNITS, assign_as("eppo", {"splits": splits}, UNITS), strict=True):
        exposed, first = (eppo_shard(f"{salt}-{unit}") < 5_000 for salt in ("traffic", "split"))
        assert arm == (("a" if first else "b") if exposed else None)


def test_arms_that_are_lists_or_mappings_stay_whole():
    definition = {"key": "e", "variations": [{"colour": "red"}, ["a", "b"]]}
    arms = assign_as("growthbook", definition, UNITS[:50])
    assert {str(arm) for arm in arms} == {"{'colour': 'red'}", "['a', 'b']"}


def test_planout_s_other_operators_follow_its_definition():
    keys = [planout_key("e", "p", unit) for unit in UNITS]
    assert keys[0] == "e.p.c0"
    assert planout_key("e", "p", 4, "http://x") == "e.p.4.http://x"
    numbers = [planout_integer(key, 3, 7) for key in keys]
    assert stats.chisquare(np.bincount(numbers)[3:]).pvalue > 0.001
    assert all(5 <= planout_uniform(key, 5, 6) <= 6 for key in keys)
    assert all(planout_bernoulli(key, 1) and not planout_bernoulli(key, 0) for key in keys)
    with pytest.raises(DefinitionError, match="one weight per choice"):
        planout_weighted_choice("e.p.1", ["a", "b"], [1])


def test_statsig_s_buckets_grow_without_moving_anyone():
    passes = [[statsig_passes("s", "r", unit, pass_percent=p) for unit in UNITS] for p in (20, 45)]
    assert all(after for before, after in zip(*passes, strict=True) if before)
    assert {statsig_user_bucket("s", unit) for unit in UNITS} <= set(range(1_000))


def test_an_unknown_system_and_an_incomplete_definition_are_refused():
    with pytest.raises(DefinitionError, match="Choose one of growthbook") as error:
        assign_as("ambrosia", {}, UNITS)
    assert error.value.code == "SYSTEM_UNKNOWN"
    with pytest.raises(DefinitionError, match="lacks 'choices'") as error:
        assign_as("planout", {"salt": "e.p"}, UNITS)
    assert error.value.code == "DEFINITION_INCOMPLETE"


def test_optimizely_s_bucket_takes_the_utf_8_bytes():
    key = "José🛒1886780721".encode()
    expected = murmurhash3_32(key, seed=1, positive=True) * 10_000 // 2**32
    assert optimizely_bucket("José🛒", 1886780721) == expected
