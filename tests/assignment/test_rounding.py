"""Counts per stratum and arm: whole, within one of their expectation, and right on average."""

from fractions import Fraction as F

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uplift.assignment import rounding
from uplift.assignment.rounding import rounded_counts

weights = st.lists(st.integers(1, 30), min_size=2, max_size=6)
stratum_sizes = st.lists(st.integers(0, 40), min_size=1, max_size=30)


def shares_of(parts):
    return [F(part, sum(parts)) for part in parts]


@given(sizes=stratum_sizes, parts=weights, seed=st.integers(0, 1_000))
@settings(max_examples=150, deadline=None)
def test_every_count_and_every_total_is_its_expectation_rounded_down_or_up(sizes, parts, seed):
    shares = shares_of(parts)
    counts = rounded_counts(np.array(sizes), shares, salt=f"s{seed}")
    assert (counts.sum(axis=1) == sizes).all()
    for i, size in enumerate(sizes):
        assert all(
            abs(int(n) - size * share) < 1 for n, share in zip(counts[i], shares, strict=True)
        )
    totals = counts.sum(axis=0)
    assert all(
        abs(int(n) - sum(sizes) * share) < 1 for n, share in zip(totals, shares, strict=True)
    )


def mean_counts(sizes, shares, rounds=1_500, how=rounded_counts):
    found = sum(how(sizes, shares, salt=f"round {i}") for i in range(rounds)) / rounds
    fraction = (sizes[:, None] * np.array([float(share) for share in shares])) % 1
    expected = sizes[:, None] * np.array([float(share) for share in shares])
    std_error = np.sqrt(np.maximum(fraction * (1 - fraction), 1e-6) / rounds)
    return (found - expected) / std_error


SIZES = np.array([1, 2, 3, 5, 1, 7, 4])
SHARES = [F(1, 10), F(1, 5), F(3, 10), F(2, 5)]


def test_small_strata_get_every_arm_with_its_exact_probability():
    assert np.abs(mean_counts(SIZES, SHARES)).max() < 4.5


def test_rounding_to_the_largest_remainder_fails_the_same_check():
    def largest_remainder(sizes, shares, *, salt):
        exact = sizes[:, None] * np.array([float(share) for share in shares])
        counts = np.floor(exact).astype(np.int64)
        for row, rest in enumerate(sizes - counts.sum(axis=1)):
            counts[row, np.argsort(counts[row] - exact[row])[:rest]] += 1
        return counts

    assert np.abs(mean_counts(SIZES, SHARES, how=largest_remainder)).max() > 20


def test_the_compiled_loop_gives_the_values_of_the_plain_one(monkeypatch):
    sizes = np.random.default_rng(4).integers(0, 9, 2_000)
    plain = rounded_counts(sizes, SHARES, salt="x")
    monkeypatch.setattr(rounding, "FEW_CELLS", 0)
    np.testing.assert_array_equal(rounded_counts(sizes, SHARES, salt="x"), plain)


def test_shares_of_any_number_of_digits_are_exact():
    shares = [F(12345678901234567891, 10**20), 1 - F(12345678901234567891, 10**20)]
    counts = rounded_counts(np.array([1_000_000, 3]), shares, salt="x")
    assert abs(counts[0, 0] - 123_456.78901234567) < 1
    assert counts.sum() == 1_000_003


@pytest.mark.parametrize("sizes", [[], [0], [0, 0]])
def test_no_units_give_no_counts(sizes):
    assert rounded_counts(np.array(sizes, dtype=np.int64), SHARES, salt="x").sum() == 0
