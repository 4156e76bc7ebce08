import json

import numpy as np
import pytest
from scipy import stats

from uplift.errors import DataError
from uplift.inference.sample_ratio import check_sample_ratio


def named(values):
    return {f"arm_{i}": value for i, value in enumerate(values)}


def test_it_is_scipys_chi_squared_test_on_200_random_cases():
    rng = np.random.default_rng(1)
    for _ in range(200):
        shares = rng.dirichlet(np.ones(rng.integers(2, 6)) * 3)
        counts = rng.multinomial(rng.integers(50, 20_000), shares)
        check = check_sample_ratio(named(counts.tolist()), shares=named(shares))
        expected = counts.sum() * shares
        assert check.value == pytest.approx(stats.chisquare(counts, expected).pvalue, abs=1e-10)


def test_published_cases_agree(shared):
    cases = json.loads((shared / "vectors" / "experimentation.json").read_text())["cases"]
    inputs = [(case, *case["inputs"].values()) for case in cases if case["category"] == "srm.chi2"]
    # elsewhere, an arm that got nobody or an experiment without a unit is read as "no mismatch"
    known = [row for row in inputs if len(row[1]) == len(row[2]) and sum(row[1]) > 0]
    assert len(known) == 5
    for case, counts, weights in known:
        found = check_sample_ratio(named(counts), shares=named(weights)).value
        assert found == pytest.approx(case["expected"], abs=case["tolerance"] or 1e-9), case["id"]


def test_52_to_48_of_100_000_is_an_alarm_and_the_counts_are_named():
    check = check_sample_ratio({"control": 52_000, "email": 48_000}, shares=named_half())
    assert not check.passed
    assert check.code == "SRM"
    assert check.blocking
    assert "control 52,000 of 50,000 expected" in check.remedy


def named_half():
    return {"control": 0.5, "email": 0.5}


def test_an_arm_that_got_nobody_is_an_alarm():
    shares = {"control": 1 / 3, "email": 1 / 3, "post": 1 / 3}
    assert not check_sample_ratio({"control": 500, "email": 500}, shares=shares).passed
    # ignoring the arm, as a count of the labels seen would, raises none
    seen = {"control": 0.5, "email": 0.5}
    assert check_sample_ratio({"control": 500, "email": 500}, shares=seen).passed


def test_an_arm_of_share_zero_is_left_out():
    check = check_sample_ratio(
        {"control": 1000, "email": 1200, "later": 900},
        shares={"control": 0.5, "email": 0.5, "later": 0.0},
    )
    assert check.value == pytest.approx(2.0079e-05, abs=1e-9)


def test_it_raises_one_false_alarm_in_a_thousand():
    rng = np.random.default_rng(2)
    shares = np.array([0.9, 0.1])
    counts = rng.multinomial(5_000, shares, size=20_000)
    p_values = [
        check_sample_ratio(named(row), shares=named(shares)).value
        for row in counts[:4_000].tolist()
    ]
    assert np.mean(np.array(p_values) < 0.001) <= 0.001 + 3 * np.sqrt(0.001 / 4_000)


def test_no_unit_at_all_is_refused():
    with pytest.raises(DataError, match="No arm") as caught:
        check_sample_ratio({}, shares=named_half())
    assert caught.value.code == "EMPTY_INPUT"
