"""GrowthBook's SDK, whose every decision ours must repeat."""

import copy
import json
import math

import numpy as np
import pyarrow as pa
import pytest
from growthbook import Experiment, GrowthBook
from growthbook.core import evalCondition, gbhash, getBucketRanges
from growthbook.core import inNamespace as sdk_in_namespace
from hypothesis import given, settings
from hypothesis import strategies as st

from uplift.assignment.growthbook import (
    bucket_ranges,
    growthbook_hash,
    growthbook_hashes,
    in_namespace,
)
from uplift.assignment.growthbook_conditions import matches
from uplift.assignment.growthbook_experiment import (
    Visit,
    draw_variations,
    hash_value,
    run_experiment,
)
from uplift.errors import DataError, DefinitionError

UNITS = [
    *(
        "1",
        "00123",
        "c0000001",
        "",
        "a b",
        "x:y",
        "José",
        "Jose\u0301",
        "Ωmega",
        "客户7",
        "клиент-9",
    ),
    *(
        "مشتري",
        "🛒42",
        "🛒",
        "\U0010ffff",
        "\uffff",
        "é" * 300,
        "e4b1c2d0-1f3a-4c55-9a77-0123456789ab",
    ),
]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("seed", ["", "spring", "café🛒"])
def test_hashes_are_the_sdk_s_for_ids_of_every_alphabet(seed, version):
    expected = [gbhash(seed, unit, version) for unit in UNITS]
    assert growthbook_hashes(UNITS, seed=seed, version=version).tolist() == expected
    assert [growthbook_hash(seed, unit, version=version) for unit in UNITS] == expected


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40), st.text(max_size=8))
def test_hashes_are_the_sdk_s_for_any_text(unit, seed):
    for version in (1, 2):
        expected = gbhash(seed, unit, version)
        assert growthbook_hashes([unit], seed=seed, version=version).tolist() == [expected]
        assert growthbook_hash(seed, unit, version=version) == expected


def by_code_points(text: str) -> int:
    state = 0x811C9DC5
    for character in text:
        state = ((state ^ ord(character)) * 0x01000193) & 0xFFFFFFFF
    return state


def test_older_python_sdks_hashed_code_points_and_differ_outside_the_basic_plane_only():
    expected = [
        by_code_points(str(by_code_points(f"seed{unit}"))) % 10_000 / 10_000 for unit in UNITS
    ]
    found = growthbook_hashes(UNITS, seed="seed", characters="code_points")
    plain = [growthbook_hash("seed", unit, characters="code_points") for unit in UNITS]
    assert found.tolist() == plain == expected
    beyond = np.array([any(ord(character) > 0xFFFF for character in unit) for unit in UNITS])
    assert ((found != growthbook_hashes(UNITS, seed="seed")) == beyond).all()


def test_a_sliced_column_is_read_where_it_is():
    column = pa.array(["skipped", *UNITS, "skipped"])[1:-1]
    expected = growthbook_hashes(UNITS, seed="s").tolist()
    assert growthbook_hashes(column, seed="s").tolist() == expected
    chunked = pa.chunked_array([column[:3], column[3:]])
    assert growthbook_hashes(chunked, seed="s").tolist() == expected


def test_ids_are_taken_as_given_and_not_composed():
    composed, decomposed = growthbook_hashes(["José", "Jose\u0301"], seed="s")
    assert composed != decomposed


def test_an_unknown_version_and_a_missing_id_are_refused():
    with pytest.raises(DefinitionError, match="versions 1 and 2") as error:
        growthbook_hashes(["a"], seed="s", version=3)
    assert error.value.code == "HASH_VERSION"
    with pytest.raises(DataError) as missing:
        growthbook_hashes(["a", None], seed="s")
    assert missing.value.code == "ID_MISSING"
    assert growthbook_hash("s", "a", version=3) is None


SHARES = st.floats(-0.5, 1.5, allow_nan=False)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 5), SHARES, st.none() | st.lists(st.floats(0, 1), max_size=5))
def test_bucket_ranges_are_the_sdk_s(n_variations, coverage, weights):
    expected = getBucketRanges(n_variations, coverage, weights)
    assert bucket_ranges(n_variations, coverage=coverage, weights=weights) == expected


def test_growing_coverage_moves_nobody_between_variations():
    ids = [f"c{i}" for i in range(5_000)]
    base = {"key": "ramp", "variations": [0, 1, 2], "hashVersion": 2, "weights": [0.2, 0.3, 0.5]}
    before, after = (draw_variations({**base, "coverage": share}, ids) for share in (0.3, 0.8))
    assert (before >= 0).any()
    assert (after[before >= 0] == before[before >= 0]).all()


PARTS = [
    {},
    {"weights": [0.1, 0.6, 0.3]},
    {"weights": [0.1, 0.1, 0.1], "coverage": 0.5},
    {"coverage": 0},
    {"coverage": -1},
    {"hashVersion": 2, "seed": "foo", "coverage": 0.7},
    {"hashVersion": 3},
    {"ranges": [[0, 0.1], [0.3, 0.4], [0.9, 1]]},
    {"namespace": ["ns", 0.2, 0.7]},
    {"filters": [{"seed": "f", "ranges": [[0, 0.2], [0.5, 1]]}], "namespace": ["ns", 0, 0.001]},
    {"filters": [{"seed": "f", "ranges": [[0, 0.6]], "hashVersion": 1}, {"ranges": [[0.2, 0.9]]}]},
    {"force": 2, "coverage": 0.5},
    {"force": 7},
    {"active": False},
    {"status": "draft"},
    {"status": "stopped"},
    {"status": "stopped", "force": 1},
    {"variations": ["only"]},
    {"variations": []},
]
TARGETED = [
    {"hashAttribute": "company"},
    {"hashAttribute": "nothing"},
    {"filters": [{"seed": "f", "attribute": "company", "ranges": [[0, 0.5]]}]},
    {"condition": {"country": "FR", "visits": {"$gte": 3}}},
    {"condition": {"country": "DE"}},
    {"url": "/offers"},
    {"url": "^/basket"},
    {"fallbackAttribute": "company", "hashAttribute": "nothing"},
]
BASE = {"key": "my-test", "variations": ["control", "a", "b"]}


def attributes_of(unit):
    return {"id": unit, "company": f"firm-{unit}", "country": "FR", "visits": 4}


def sdk_outcome(definition, attributes, **options):
    book = GrowthBook(attributes=attributes, **copy.deepcopy(options))
    found = book.run(Experiment(**copy.deepcopy(definition)))
    book.destroy()
    return found.value, found.inExperiment, found.hashUsed


def our_outcome(definition, attributes, **options):
    found = run_experiment(definition, attributes, visit=Visit(**options))
    return found.value, found.in_experiment, found.hash_used


@pytest.mark.parametrize("part", [*PARTS, *TARGETED], ids=json.dumps)
def test_an_experiment_runs_as_in_the_sdk(part):
    definition = BASE | part
    if not definition["variations"]:
        assert our_outcome(definition, {"id": "1"}) == (None, False, False)
        return
    for unit in [*UNITS, *map(str, range(60)), None, 7, 2.5, True, 0]:
        options = {"url": "https://shop.example/offers/1?x=1"}
        expected = sdk_outcome(definition, attributes_of(unit), **options)
        assert our_outcome(definition, attributes_of(unit), **options) == expected, unit


@pytest.mark.parametrize("part", PARTS, ids=json.dumps)
def test_a_column_of_ids_is_drawn_as_one_id_is(part):
    definition = BASE | part
    ids = [*UNITS, *map(str, range(200))]
    outcomes = [run_experiment(definition, {"id": unit}) for unit in ids]
    expected = [found.variation if found.in_experiment else -1 for found in outcomes]
    assert draw_variations(definition, ids).tolist() == expected
    assert draw_variations(definition, pa.array(ids)).tolist() == expected


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ({"enabled": False}, {"enabled": False}),
        ({"qa_mode": True}, {"qa_mode": True}),
        ({"forced_variations": {"my-test": 2}}, {"forcedVariations": {"my-test": 2}}),
        ({"forced_variations": {"my-test": 9}}, {"forcedVariations": {"my-test": 9}}),
        *(
            ({"url": url}, {"url": url})
            for url in (
                "https://shop.example/?my-test=2",
                "https://shop.example/?my-test=3",
                "https://shop.example/?my-test=-1",
                "https://shop.example/?my-test=x&y=1",
                "https://[::1/?my-test=1",
            )
        ),
    ],
)
def test_what_the_visit_forces_is_forced_as_in_the_sdk(given, options):
    for unit in ("1", "2", "3", ""):
        expected = sdk_outcome(BASE, {"id": unit}, **options)
        assert our_outcome(BASE, {"id": unit}, **given) == expected


def test_what_cannot_be_replayed_is_refused():
    for part in ({"parentConditions": [{"id": "f"}]}, {"urlPatterns": [{"pattern": "/"}]}):
        with pytest.raises(DefinitionError, match="logged") as error:
            run_experiment(BASE | part, {"id": "1"})
        assert error.value.code == "GROWTHBOOK_UNSUPPORTED"
    for part in ({"condition": {"a": 1}}, {"filters": [{"attribute": "b", "ranges": [[0, 1]]}]}):
        with pytest.raises(DefinitionError, match="cannot be replayed"):
            draw_variations(BASE | part, ["1"])
    with pytest.raises(DefinitionError, match="inGroup"):
        matches({"id": {"$inGroup": "vip"}}, {"id": "1"})


@pytest.mark.parametrize("start", [0, 0.25, 0.9])
def test_namespaces_are_the_sdk_s(start):
    for unit in UNITS:
        part = ("ns", start, start + 0.4)
        assert in_namespace(unit, part) is sdk_in_namespace(unit, part)


ATTRIBUTES = {
    "id": "7",
    "age": 31,
    "vip": True,
    "none": None,
    "tags": ["a", "b", 1],
    "version": "2.10.0",
    "beta": "2.10.0-rc.1",
    "place": {"city": "Lyon", "zip": [69001, 69002]},
    "people": [{"name": "a", "age": 3}, None, {"name": "b", "age": 30}],
}
CONDITIONS = [
    {},
    *({"age": rule} for rule in (31, "31", {"$eq": 31}, {"$eq": True}, {"$gt": 30, "$lt": 40})),
    *({"age": {name: 31}} for name in ("$lt", "$lte", "$gt", "$gte", "$ne")),
    *({"age": {name: "31"}} for name in ("$lt", "$lte", "$gt", "$gte", "$ne")),
    *({"vip": rule} for rule in (True, 1, {"$eq": 1}, {"$in": [1]}, {"$in": [True]}, {"$gt": 0})),
    *({"none": rule} for rule in (None, {"$exists": False}, {"$exists": True}, {"$ne": 1})),
    *(
        {"absent": rule}
        for rule in (None, {"$exists": False}, {"$ne": 1}, {"$nin": [1]}, {"$lt": 1})
    ),
    *({"tags": {"$in": values}} for values in (["b"], ["c"], [True], [1], [])),
    *({"tags": {"$nin": values}} for values in (["b"], ["c"], "b")),
    *({"tags": {"$all": values}} for values in (["a", 1], ["a", "c"], "a")),
    *({"tags": {"$size": rule}} for rule in (3, 2, {"$gt": 2})),
    *({"tags": {"$elemMatch": rule}} for rule in ({"$eq": "a"}, {"$gt": 0}, {"$eq": "z"})),
    *({"people": {"$elemMatch": rule}} for rule in ({"age": {"$gt": 9}}, {"$or": [{"name": "b"}]})),
    {"tags": ["a", "b", 1]},
    {"tags.1": "b"},
    {"tags.9": None},
    {"tags.length": 3},
    {"place.city": "Lyon"},
    {"place.zip.0": 69001},
    {"place": {"city": "Lyon", "zip": [69001, 69002]}},
    {"place": {"zip": [69001, 69002], "city": "Lyon"}},
    {"place": {"$eq": {"city": "Lyon"}}},
    {"place": {"$type": "object"}},
    {"tags": {"$type": "array"}},
    {"age": {"$type": "number"}},
    {"id": {"$regex": "^[0-9]$"}},
    {"id": {"$regex": "("}},
    {"age": {"$regex": "3"}},
    {"id": {"$not": {"$eq": "7"}}},
    {"$not": {"id": "7"}},
    {"$or": []},
    {"$or": [{"id": "8"}, {"age": 31}]},
    {"$nor": []},
    {"$nor": [{"id": "8"}, {"age": 32}]},
    {"$and": [{"id": "7"}, {"age": 32}]},
    *(
        {column: {name: wanted}}
        for column in ("version", "beta", "age", "absent")
        for name in ("$veq", "$vne", "$vlt", "$vlte", "$vgt", "$vgte")
        for wanted in ("2.9.0", "v2.10.0", "2.10.0+build", "2.10.0-rc.2")
    ),
    {"place.city": {"$lt": "\U0001f6d2"}},
]


@pytest.mark.parametrize("condition", CONDITIONS, ids=json.dumps)
def test_a_condition_is_read_as_the_sdk_reads_it(condition):
    assert matches(condition, ATTRIBUTES) is evalCondition(ATTRIBUTES, condition)


@settings(max_examples=300, deadline=None)
@given(st.floats() | st.integers() | st.sampled_from([1e21, 1e-7, 123e-8, 1e20, -2.5e-5, 5e-324]))
def test_numbers_as_ids_are_printed_as_in_javascript(number):
    from growthbook.core import _hash_string, _is_hashable

    assert hash_value(number) == (_hash_string(number) if _is_hashable(number) else "")


def test_what_is_no_id_hashes_as_none():
    assert [hash_value(value) for value in (None, True, [], {}, math.nan, math.inf, 0)] == [""] * 7
