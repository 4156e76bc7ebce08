"""Rows are coded once, the same as by the plain coder, whatever part of them is asked for."""

import numpy as np
import pytest

from uplift.models.feature_rows import N_BINS, FeatureRows, bins_of, encode_columns
from uplift.models.forest_bins import Bins


@pytest.fixture(scope="module")
def numbers():
    rng = np.random.default_rng(3)
    few = rng.integers(0, 7, 3000).astype(np.float64)
    levels = rng.integers(0, 5, 3000).astype(np.float64)
    columns = np.column_stack([rng.standard_normal(3000), few, levels, rng.random(3000)])
    columns[rng.random(columns.shape) < 0.1] = np.nan
    return columns


def test_codes_are_those_of_the_plain_coder(numbers):
    rows = FeatureRows.of(numbers)
    bins = bins_of(rows, categorical=[2])
    expected = bins.encode(list(numbers.T), n_rows=len(numbers))
    np.testing.assert_array_equal(rows.codes(bins), expected.T)


def test_bins_are_those_of_all_columns_together(numbers):
    bins = bins_of(FeatureRows.of(numbers), categorical=[2])
    together = Bins.fit(list(numbers.T), n_levels={2: 5}, n_bins=N_BINS)
    assert bins.to_dict() == together.to_dict()


def test_new_values_outside_the_old_fall_into_the_outer_codes(numbers):
    bins = bins_of(FeatureRows.of(numbers), categorical=[2])
    far = np.array([[-1e9, -5.0, 0.0, -1.0], [1e9, 99.0, 4.0, 2.0]])
    codes = FeatureRows.of(far).codes(bins)
    assert codes[[0, 1, 3], 0].tolist() == [1, 1, 1]
    assert (codes[[0, 1, 3], 1] == np.array(bins.n_codes)[[0, 1, 3]] - 1).all()


def test_a_part_of_the_rows_has_the_codes_of_that_part(numbers):
    rows = FeatureRows.of(numbers)
    bins = bins_of(rows, categorical=[2])
    codes = rows.codes(bins)
    chosen = np.array([5, 2, 999])
    for part in (chosen, slice(10, 20), np.arange(3000) < 4):
        np.testing.assert_array_equal(rows[part].codes(bins), codes[:, part])
        np.testing.assert_array_equal(rows[part].numbers, numbers[part])
        assert len(rows[part]) == rows[part].codes(bins).shape[1]
    uncoded = FeatureRows.of(numbers)[chosen]
    np.testing.assert_array_equal(uncoded.codes(bins), codes[:, chosen])
    np.testing.assert_array_equal(uncoded[:, 1], numbers[chosen, 1])


def test_columns_are_read_once_for_all_forests_of_a_suite(numbers):
    read = []

    def column(i, chosen):
        read.append(i)
        return numbers[:, i] if chosen is None else numbers[chosen, i]

    rows = FeatureRows(column, n_rows=3000, n_features=4)
    bins = bins_of(FeatureRows.of(numbers), categorical=[2])
    for _ in range(3):
        rows.codes(bins)
    assert read == [0, 1, 2, 3]


def test_two_sets_of_bins_do_not_mix_up_their_codes(numbers):
    rows = FeatureRows.of(numbers)
    fine, coarse = (Bins.fit(list(numbers.T), n_levels={2: 5}, n_bins=n) for n in (254, 4))
    assert rows.codes(fine)[0].max() > 200
    assert rows.codes(coarse)[0].max() == 4
    assert rows.codes(fine)[0].max() > 200


def test_no_rows_have_no_codes(numbers):
    bins = bins_of(FeatureRows.of(numbers), categorical=[2])
    none = encode_columns(lambda i: np.empty(0), bins, n_rows=0)
    assert none.shape == (4, 0)
