"""Bytes of trees come back bit for bit, and what was changed is refused or harmless."""

import json

import numpy as np
import pytest

from tests.models.stored import rewrite
from uplift.errors import DataError
from uplift.models.forest import CausalForest
from uplift.models.forest_bins import Bins
from uplift.models.forest_reading import read_trees
from uplift.models.forest_trees import HonestTrees
from uplift.models.store import MODEL_FILE, load_model, save_model


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(1)
    X, arm = rng.standard_normal((1500, 3)), rng.integers(0, 2, 1500)
    y = arm * (X[:, 0] > 0) + rng.standard_normal(1500)
    return CausalForest(n_trees=8, min_leaf=40).fit(X, y, arm)


@pytest.fixture
def folder(model, tmp_path):
    save_model(model, tmp_path)
    return tmp_path


def test_trees_come_back_from_their_bytes(model):
    again = HonestTrees.from_bytes(model.trees_.to_bytes())
    assert again.to_bytes() == model.trees_.to_bytes()
    for name in ("root", "feature", "child", "goes_left", "shares"):
        found, expected = getattr(again, name), getattr(model.trees_, name)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype


@pytest.mark.parametrize("content", [b"", b"\0" * 47, b"\0" * 48, b"PK\x03\x04" * 50])
def test_other_bytes_are_refused(content):
    with pytest.raises(ValueError):
        HonestTrees.from_bytes(content)


def test_a_header_of_any_size_takes_no_memory(model):
    content = model.trees_.to_bytes()
    for position in range(1, 6):
        for count in (-1, 0, 2**31, 2**62):
            header = np.frombuffer(content[:48], dtype="<i8").copy()
            header[position] = count
            if position == 5 and count > 0:
                continue  # features are a bound of their own; the estimator compares them
            with pytest.raises(ValueError):
                HonestTrees.from_bytes(header.tobytes() + content[48:])


def test_changed_bytes_are_refused_or_can_do_no_harm(model):
    """Without a digest: every walk must still end in a leaf, whatever was changed."""
    content, rng = model.trees_.to_bytes(), np.random.default_rng(0)
    codes = rng.integers(0, 34, (64, 4)).astype(np.uint8)
    draws = model._growth().draws()
    refused = 0
    for _ in range(3000):
        changed = bytearray(content)
        for place in rng.integers(0, len(content), rng.integers(1, 5)):
            changed[place] = rng.integers(0, 256)
        try:
            trees = HonestTrees.from_bytes(bytes(changed))
        except ValueError:
            refused += 1
            continue
        assert np.isfinite(read_trees(trees, codes, draws).sums).all()
    assert refused > 300


def test_no_changed_file_is_accepted(model, folder):
    content = (folder / "trees.bin").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):
        changed = bytearray(content)
        changed[rng.integers(0, len(content))] ^= 1 << rng.integers(0, 8)
        (folder / "trees.bin").write_bytes(changed)
        with pytest.raises(DataError) as caught:
            load_model(folder)
        assert caught.value.code == "FILE_CHECKSUM"


@pytest.mark.parametrize(
    "change",
    [
        {"overall": [0.0]},
        {"overall": [0.0, float("inf")]},
        {"bins": {"edges": [[0.0]], "n_codes": [3]}},
        {"bins": {"edges": [[1.0, 0.0]] * 4, "n_codes": [4] * 4}},
        {"mean": {"by": "nothing"}},
        {"mean": {"by": "fold"}},
        {"uncertainty": {"mean": [1.0]}},
    ],
)
def test_parts_that_do_not_fit_together_are_refused(folder, change):
    rewrite(
        folder / MODEL_FILE,
        lambda document: document | {"constants": document["constants"] | change},
    )
    with pytest.raises(DataError):
        load_model(folder)


def test_bins_put_values_where_their_edges_say():
    values = np.array([3.0, 1.0, np.nan, 2.0, 1.0])
    bins = Bins.fit([values, values], n_levels={1: 4}, n_bins=8)
    assert bins.edges[0].tolist() == [1.5, 2.5]
    codes = bins.encode([np.array([0.0, 1.5, 1.6, 9.0, np.nan])] * 2, n_rows=5)
    assert codes[:, 0].tolist() == [1, 1, 2, 3, 0]
    again = Bins.from_dict(json.loads(json.dumps(bins.to_dict())))
    assert again.to_dict() == bins.to_dict()


def test_many_values_are_cut_into_bins_of_equal_weight():
    rng = np.random.default_rng(0)
    values, weight = rng.exponential(size=20_000), rng.uniform(0, 2, 20_000)
    codes = Bins.fit([values], n_levels={}, n_bins=10, weight=weight).encode(
        [values], n_rows=20_000
    )
    shares = np.bincount(codes[:, 0], weights=weight)[1:] / weight.sum()
    np.testing.assert_allclose(shares, 0.1, atol=0.001)
    only_missing = Bins.fit([np.full(5, np.nan)], n_levels={}, n_bins=10)
    assert only_missing.n_codes == (2,)
