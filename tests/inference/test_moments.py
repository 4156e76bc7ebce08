from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from uplift.errors import DataError
from uplift.inference.moments import Moments, mean_difference, two_product, two_sum
from uplift.inference.skewness import Shape

COVARIANCES = [("x", "y")]


def sample(seed, n, offset=0.0, scale=1.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return {"x": offset + scale * x, "y": offset + scale * (0.5 * x + rng.normal(size=n))}


def close(first, second, rel=1e-12):
    assert first.count == second.count
    np.testing.assert_allclose(first.mean + first.rest, second.mean + second.rest, rtol=rel)
    np.testing.assert_allclose(first.comoment, second.comoment, rtol=rel, atol=1e-12)


def test_moments_are_what_numpy_computes():
    data = sample(1, 500)
    moments = Moments.of(data, ["x", "y"], COVARIANCES)
    matrix = np.cov(data["x"], data["y"], ddof=1)
    assert moments.mean_of("x") == pytest.approx(data["x"].mean(), abs=1e-14)
    np.testing.assert_allclose(moments.covariance_matrix(["x", "y"]), matrix, rtol=1e-12)
    assert moments.covariance("y", "x") == moments.covariance("x", "y")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 40), min_size=1, max_size=6))
def test_parts_put_together_are_the_moments_of_the_whole(seed, sizes):
    data = sample(seed, sum(sizes), offset=1e3)
    edges = np.cumsum([0, *sizes])
    parts = [
        Moments.of({k: v[a:b] for k, v in data.items()}, ["x", "y"], COVARIANCES)
        for a, b in pairwise(edges)
    ]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    close(total, Moments.of(data, ["x", "y"], COVARIANCES), rel=1e-10)


def test_a_mean_of_a_billion_costs_no_digit_of_the_variance_or_the_difference():
    rng = np.random.default_rng(3)
    control = {"x": 1e9 + rng.normal(0, 1e-3, 4_000)}
    treatment = {"x": 1e9 + 1e-4 + rng.normal(0, 1e-3, 4_000)}
    exact = sum(map(Fraction, treatment["x"])) / 4_000 - sum(map(Fraction, control["x"])) / 4_000
    t, c = Moments.of(treatment, ["x"]), Moments.of(control, ["x"])
    assert mean_difference(t, c, "x") == pytest.approx(float(exact), rel=1e-6)
    middle = sum(map(Fraction, control["x"])) / 4_000
    variance = sum((Fraction(v) - middle) ** 2 for v in control["x"]) / 3_999
    assert c.variance("x") == pytest.approx(float(variance), rel=1e-9)


def test_merging_keeps_the_digits_of_a_large_mean():
    data = sample(5, 3_000, offset=1e9, scale=1e-3)
    parts = [Moments.of({k: v[i::3] for k, v in data.items()}, ["x"]) for i in range(3)]
    whole = Moments.of(data, ["x"])
    merged = parts[0] + parts[1] + parts[2]
    assert merged.variance("x") == pytest.approx(whole.variance("x"), rel=1e-9)
    assert mean_difference(merged, whole, "x") == pytest.approx(0, abs=1e-12)


def test_sums_of_squares_would_have_lost_them():
    values = sample(5, 3_000, offset=1e9, scale=1e-3)["x"]
    naive = (np.sum(values**2) - len(values) * values.mean() ** 2) / (len(values) - 1)
    assert naive != pytest.approx(values.var(ddof=1), rel=0.5)


def test_an_empty_part_changes_nothing():
    data = sample(2, 10)
    whole = Moments.of(data, ["x", "y"], COVARIANCES)
    empty = Moments.of({"x": [], "y": []}, ["x", "y"], COVARIANCES)
    close(whole + empty, whole)
    close(empty + whole, whole)
    assert (empty + empty).count == 0


def test_two_sum_loses_nothing():
    total, rest = two_sum(np.array([1e16]), np.array([1.5]))
    assert Fraction(total[0]) + Fraction(rest[0]) == Fraction(10**16) + Fraction(3, 2)


def test_two_product_loses_nothing():
    first, second = np.array([1 / 3, 1e9 / 7, -2.5]), np.array([1e5 / 9, 1 / 11, 4.0])
    product, rest = two_product(first, second)
    for a, b, c, d in zip(first, second, product, rest, strict=True):
        assert Fraction(a) * Fraction(b) == Fraction(c) + Fraction(d)


def test_third_moments_are_those_of_scipy_and_of_the_shape_of_values():
    spend = np.random.default_rng(8).lognormal(size=700)
    moments = Moments.of({"x": spend, "y": -spend}, ["x", "y"], skewed=["y", "x"])
    n = len(spend)
    expected = stats.skew(spend) * ((n - 1) / n) ** 1.5  # of the variance with divisor n - 1
    assert moments.skewness("x") == pytest.approx(expected, rel=1e-12)
    assert moments.skewness("y") == pytest.approx(-expected, rel=1e-12)
    shape = Shape.of(spend)
    assert moments.third("x") == pytest.approx(shape.third, rel=1e-12)
    assert moments.skewness("x") == pytest.approx(shape.skewness, rel=1e-12)
    assert Moments.of({"x": [2.5] * 9}, ["x"], skewed=["x"]).skewness("x") == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 40), min_size=1, max_size=6))
def test_third_moments_of_parts_put_together_are_those_of_the_whole(seed, sizes):
    rng = np.random.default_rng(seed)
    middle = rng.normal(0, 5, len(sizes))
    parts = [{"x": m + rng.lognormal(size=n)} for m, n in zip(middle, sizes, strict=True)]
    total, *others = (Moments.of(part, ["x"], skewed=["x"]) for part in parts)
    for other in others:
        total = total + other
    values = np.concatenate([part["x"] for part in parts])
    whole = Moments.of({"x": values}, ["x"], skewed=["x"])
    scale = 1 + whole.comoment[0] ** 1.5
    assert total.cubes[0] == pytest.approx(whole.cubes[0], abs=1e-12 * scale)


def test_third_moments_do_not_add_without_the_parts_variances():
    rng = np.random.default_rng(1)
    parts = [Moments.of({"x": m + rng.lognormal(size=50)}, ["x"], skewed=["x"]) for m in (0, 5)]
    assert sum(p.cubes[0] for p in parts) != pytest.approx((parts[0] + parts[1]).cubes[0], rel=0.1)


def test_an_undeclared_third_moment_is_refused_by_name():
    moments = Moments.of(sample(1, 5), ["x", "y"], skewed=["x"])
    with pytest.raises(DataError, match="third moment of 'y'"):
        moments.third("y")
    with pytest.raises(DataError, match="'z' is wanted"):
        Moments.of(sample(1, 5), ["x"], skewed=["z"])
    with pytest.raises(DataError, match="different columns"):
        moments + Moments.of(sample(1, 5), ["x", "y"])


def test_a_column_of_equal_values_varies_with_nothing():
    rng = np.random.default_rng(2)
    moments = Moments.of({"x": [1e9 / 7] * 50, "y": rng.normal(size=50)}, ["x", "y"], COVARIANCES)
    assert moments.covariance("x", "y") == 0


def test_an_undeclared_covariance_and_an_unknown_column_are_refused_by_name():
    moments = Moments.of(sample(1, 5), ["x", "y"])
    with pytest.raises(DataError, match="'y' was not collected"):
        moments.covariance("x", "y")
    with pytest.raises(DataError, match="no moments of 'z'"):
        moments.mean_of("z")
    with pytest.raises(DataError, match="covariance with 'z'"):
        Moments.of(sample(1, 5), ["x", "y"], [("x", "z")])


def test_moments_of_different_columns_do_not_add():
    data = sample(1, 5)
    with pytest.raises(DataError, match="different columns"):
        Moments.of(data, ["x"]) + Moments.of(data, ["y"])


@pytest.mark.parametrize(
    ("value", "code"), [(np.nan, "OUTCOME_MISSING"), (np.inf, "OUTCOME_NOT_FINITE")]
)
def test_a_value_that_is_not_a_number_is_refused_with_its_row(value, code):
    with pytest.raises(DataError, match="first in row 2") as caught:
        Moments.of({"x": [1.0, value, 2.0]}, ["x"])
    assert caught.value.code == code
    assert caught.value.rows == (2,)
