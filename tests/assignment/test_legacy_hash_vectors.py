"""Other platforms' published cases, bit for bit."""

import json
from pathlib import Path

import pytest

from uplift.assignment import platforms
from uplift.assignment.growthbook import (
    bucket_ranges,
    choose_variation,
    choose_variations,
    equal_weights,
    growthbook_hash,
    growthbook_hashes,
    in_namespace,
)
from uplift.assignment.growthbook_experiment import draw_variations, run_experiment
from uplift.assignment.legacy import assign_as

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "experimentation.json"
FAMILIES = ("hash.", "assign.")


def cases() -> list:
    if not VECTORS.is_file():
        return []
    listed = json.loads(VECTORS.read_text())["cases"]
    return [
        pytest.param(case, id=case["id"])
        for case in listed
        if case["category"].startswith(FAMILIES)
    ]


def growthbook(inputs, expected):
    seed, value, version = inputs["seed"], inputs["value"], inputs["version"]
    assert growthbook_hash(seed, value, version=version) == expected
    if expected is not None:  # a version that does not exist is refused for a whole column
        assert growthbook_hashes([value], seed=seed, version=version).tolist() == [expected]


def ranges(inputs, expected):
    found = bucket_ranges(
        inputs["n_variations"], coverage=inputs["coverage"], weights=inputs["weights"]
    )
    assert [list(pair) for pair in found] == [pytest.approx(pair, abs=1e-6) for pair in expected]


def namespace(inputs, expected):
    part = (inputs["namespace_id"], inputs["start"], inputs["end"])
    assert in_namespace(inputs["hash_value"], part) is expected


def variation(inputs, expected):
    assert choose_variation(inputs["n"], inputs["ranges"]) == expected
    places = growthbook_hashes(["a"], seed="") * 0 + inputs["n"]
    assert choose_variations(places, inputs["ranges"]).tolist() == [expected]


def weights(inputs, expected):
    assert equal_weights(inputs["n"]) == pytest.approx(expected, abs=1e-6)


def experiment(inputs, expected):
    definition, attributes = inputs["experiment"], inputs["attributes"]
    outcome = run_experiment(definition, attributes)
    assert outcome.value == expected["value"]
    assert outcome.in_experiment is expected["in_experiment"]
    assert outcome.hash_used is expected["hash_used"]
    unit = attributes.get(definition.get("hashAttribute", "id"))
    elsewhere = any("attribute" in each for each in definition.get("filters", []))
    if unit is not None and not elsewhere:
        position = outcome.variation if outcome.in_experiment else -1
        assert draw_variations(definition, [unit]).tolist() == [position]
        served = outcome.value if outcome.in_experiment else None
        assert assign_as("growthbook", definition, [unit]).tolist() == [served]


def planout(inputs, expected):
    key = inputs["hash_string"]
    if "weights" in inputs:
        choices, given = inputs["choices"], inputs["weights"]
        assert platforms.planout_weighted_choice(key, choices, given) == expected
        return
    assert str(platforms.planout_hash(key)) == expected["hash_int"]
    assert platforms.planout_uniform(key) == pytest.approx(expected["uniform"], abs=1e-15)
    assert platforms.planout_choice(key, range(inputs["n_choices"])) == expected["index"]


def optimizely(inputs, expected):
    assert platforms.optimizely_bucket(inputs["bucketing_id"], inputs["parent_id"]) == expected


def statsig(inputs, expected):
    assert str(platforms.statsig_hash(inputs["input"])) == expected


def eppo(inputs, expected):
    total = inputs["total_shards"]
    for draw in ("exposure", "assignment"):
        shard = platforms.eppo_shard(inputs[f"{draw}_key"], total_shards=total)
        assert shard == expected[f"{draw}_shard"]
    assert assign_as("eppo", inputs, [inputs["subject"]]).tolist() == [expected["assignment"]]


CHECKS = {
    "hash.growthbook": growthbook,
    "assign.bucket_ranges": ranges,
    "assign.namespace": namespace,
    "assign.choose_variation": variation,
    "assign.equal_weights": weights,
    "assign.experiment": experiment,
    "hash.planout": planout,
    "hash.optimizely": optimizely,
    "hash.statsig": statsig,
    "hash.eppo": eppo,
}


@pytest.mark.parametrize("case", cases())
def test_a_published_case_comes_out_as_published(case):
    CHECKS[case["category"]](case["inputs"], case["expected"])


def test_every_family_of_cases_is_there(shared):
    families = {case.values[0]["category"] for case in cases()}
    assert families == set(CHECKS)
