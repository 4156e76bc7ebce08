"""Trees equal a plain grower to the digit, and obey the laws of what they estimate."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from uplift.models.crossfit import Design
from uplift.models.forest_bins import Bins
from uplift.models.forest_draws import draws_of, rows_of
from uplift.models.forest_plan import MIN_SHARE, Growth, grow_trees
from uplift.models.forest_reading import read_trees
from uplift.models.forest_rows import balancing_weights, pack_rows

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15
SIZES = {
    "n_trees": 8,
    "max_depth": 6,
    "min_leaf": 10,
    "min_arm": 3,
    "max_features": 3,
    "n_bins": 12,
    "sample_share": 0.5,
    "trees_per_bag": 4,
    "honest": True,
    "seed": 5,
}


@dataclass(frozen=True, eq=False)
class World:
    """Units with known effects, one category and missing values."""

    columns: list[np.ndarray]
    arm: np.ndarray
    residual: np.ndarray
    weight: np.ndarray
    propensity: np.ndarray
    unit: np.ndarray

    def taken(self, order):
        return World(
            [column[order] for column in self.columns],
            *(a[order] for a in (self.arm, self.residual, self.weight, self.propensity, self.unit)),
        )


def world(n=1500, *, n_arms=2, seed=1, weighted=False, varying=False):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3))
    level = rng.integers(0, 6, n).astype(float)
    x[rng.random(n) < 0.2, 1] = np.nan
    level[rng.random(n) < 0.1] = np.nan
    propensity = rng.dirichlet(np.full(n_arms, 20.0), n) if varying else np.full((n, n_arms), 1.0)
    propensity = propensity / propensity.sum(axis=1, keepdims=True)
    arm = (rng.random((n, 1)) > propensity.cumsum(axis=1)[:, :-1]).sum(axis=1)
    effect = (x[:, 0] > 0) + (level == 2) + np.isnan(x[:, 1])
    residual = (arm - arm.mean()) * effect + rng.standard_normal(n)
    weight = rng.uniform(0.5, 3, n) if weighted else np.ones(n)
    return World([*x.T, level], arm, residual, weight, propensity, np.arange(n))


def packed(w, bins=None, **sizes):
    """Rows, scales, plan and size of a world's forest."""
    growth = Growth(**{**SIZES, **sizes})
    levels = dict.fromkeys(range(3, len(w.columns)), 6)
    bins = bins or Bins.fit(w.columns, n_levels=levels, n_bins=growth.n_bins, weight=w.weight)
    design = Design(w.arm, w.propensity, w.weight)
    rows, scales = pack_rows(
        bins.encode(w.columns, n_rows=len(w.arm)),
        arm=w.arm,
        residual=w.residual,
        weight=balancing_weights(design, np.arange(len(w.arm))),
        unit=w.unit,
    )
    plan = growth.plan(rows, scales, bins, n_arms=w.propensity.shape[1])
    return rows, scales, plan, growth, bins


def grown(w, *, n_threads=None, bins=None, **sizes):
    rows, scales, plan, growth, bins = packed(w, bins, **sizes)
    trees = grow_trees(rows, scales, plan, n_trees=growth.n_trees, n_threads=n_threads)
    return trees, bins, growth


def effects_of(trees, bins, growth, columns):
    codes = bins.encode(columns, n_rows=len(columns[0]))
    sums = read_trees(trees, codes, growth.draws()).sums
    means = sums[:, :, 1] / sums[:, :, 0]
    return means[:, 1:] - means[:, :1]


# ---- the plain twin: whole numbers of Python, one tree, no histogram ----


def mix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def stream(seed, kind, index):
    return mix((mix((seed * 4 + kind) & MASK) + index * GOLDEN) & MASK)


def plain_roles(unit, tree, growth):
    """Whether each unit chooses splits, and whether it fills leaves."""
    half = 2**31 if growth.trees_per_bag > 1 else 2**32
    share = min(1.0, growth.sample_share * 2**32 / half)
    choose = round((share / 2 if growth.honest else share) * 2**32)
    of_tree, of_bag = (
        stream(growth.seed, 1, tree),
        stream(growth.seed, 2, tree // growth.trees_per_bag),
    )
    chooses, fills = [], []
    for u in unit:
        place = (int(u) * GOLDEN) & MASK
        inside = (mix(place ^ of_bag) >> 32) < half
        drawn = mix(place ^ of_tree) >> 32
        chooses.append(inside and drawn < choose)
        in_share = inside and drawn < round(share * 2**32)
        fills.append(in_share and drawn >= choose if growth.honest else chooses[-1])
    return np.array(chooses), np.array(fills)


def plain_tree(rows, plan, growth, tree):
    """Nested (feature, codes that go left, left, right), and leaves as lists of filling rows."""
    chooses, fills = plain_roles(rows.unit, tree, growth)
    state, counter = stream(growth.seed, 3, tree), [1]

    def node(number, inside, depth):
        leaf = np.flatnonzero(inside & fills)
        if depth == plan.depth:
            return leaf
        found = plain_split(rows, np.flatnonzero(inside & chooses), state, number, plan)
        if found is None:
            return leaf
        feature, left_codes = found
        goes = np.isin(rows.codes[:, feature], list(left_codes))
        left = counter[0]
        counter[0] += 2
        one = node(left, inside & goes, depth + 1)
        other = node(left + 1, inside & ~goes, depth + 1)
        return feature, left_codes, one, other

    return node(0, np.ones(len(rows.arm), dtype=bool), 0)


def plain_split(rows, inside, state, number, plan):
    tried = list(range(rows.codes.shape[1]))
    start = (state + number * GOLDEN) & MASK
    for q in range(plan.n_tried):
        other = q + (mix((start + q) & MASK) >> 33) % (len(tried) - q)
        tried[q], tried[other] = tried[other], tried[q]
    weight = rows.packed.astype(object)
    low = [((int(v) & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000 for v in weight]
    high = [(int(v) - g) >> 32 for v, g in zip(weight, low, strict=True)]

    def sums(of):
        return [
            (
                sum(high[i] for i in of if rows.arm[i] == k),
                sum(low[i] for i in of if rows.arm[i] == k),
            )
            for k in range(plan.n_arms)
        ]

    def between(of):
        if min(h for h, _ in of) == 0:
            return 0.0
        total = float(sum(g for _, g in of)) ** 2 / float(sum(h for h, _ in of))
        part = 0.0
        for h, g in of:
            part += float(g) * float(g) / float(h)
        return part - total

    total = sums(inside)
    heavy = sum(h for h, _ in total)
    smallest = max(plan.min_leaf, MIN_SHARE * heavy)
    best, answer = 0.0, None
    for f in tried[: plan.n_tried]:
        codes = rows.codes[inside, f]
        present = sorted(set(codes.tolist()))
        by_code = {c: sums(inside[codes == c]) for c in present}
        for left_codes in plain_candidates(by_code, present, plan, bool(plan.categorical[f])):
            left = sums(inside[np.isin(codes, left_codes)])
            right = [(H - h, G - g) for (H, G), (h, g) in zip(total, left, strict=True)]
            small = any(
                min(h for h, _ in side) < plan.min_arm or sum(h for h, _ in side) < smallest
                for side in (left, right)
            )
            if small:
                continue
            gain = between(left) + between(right) - between(total)
            if gain > best:
                best = gain
                if plan.categorical[f] and present[0] not in left_codes:
                    left_codes, left = [c for c in present if c not in left_codes], right
                wide = set(left_codes)
                if 2 * sum(h for h, _ in left) >= heavy:
                    absent = range(256) if plan.categorical[f] else [0]
                    wide |= {c for c in absent if c not in present}
                if not plan.categorical[f]:
                    cut = max(left_codes)
                    wide |= set(range(1, cut + 1))
                answer = (f, frozenset(wide))
    return answer


def plain_candidates(by_code, present, plan, categorical):
    """Sets of codes that may go left, in the order they are looked at."""
    if categorical:

        def effect(code, k):
            (h0, g0), (hk, gk) = by_code[code][0], by_code[code][k]
            return gk / (hk + plan.min_arm) - g0 / (h0 + plan.min_arm)

        for k in range(1, plan.n_arms):
            order = sorted(present, key=lambda code, k=k: effect(code, k))
            yield from (order[: i + 1] for i in range(len(order)))
        return
    numbers = [code for code in present if code > 0]
    for missing in ([], [0]) if 0 in present else ([],):
        yield from (missing + numbers[: i + 1] for i in range(len(numbers)))


def same(trees, tree, node, plain, rows, w):
    """Compare one node and what is below it; gives how many leaves were compared."""
    if isinstance(plain, np.ndarray):
        assert trees.feature[node] == -1
        shares = trees.shares[trees.child[node]]
        total = w[plain].sum()
        for k in range(trees.n_arms):
            of_arm = plain[rows.arm[plain] == k]
            if total > 0:
                assert shares[k, 0] == pytest.approx(w[of_arm].sum() / total, rel=1e-12)
                expected = float(np.sum(w[of_arm] * rows.true[of_arm])) / total
                assert shares[k, 1] == pytest.approx(expected, rel=1e-12, abs=1e-12)
            else:
                assert not shares.any()
        return 1
    feature, left_codes, left, right = plain
    assert trees.feature[node] == feature
    words = trees.goes_left[node]
    found = {c for c in range(256) if int(words[c >> 6]) >> (c & 63) & 1}
    assert found == set(left_codes)
    child = trees.child[node]
    return same(trees, tree, child, left, rows, w) + same(trees, tree, child + 1, right, rows, w)


@dataclass(frozen=True, eq=False)
class Truth:
    arm: np.ndarray
    true: np.ndarray


@pytest.mark.parametrize(
    ("n_arms", "weighted", "varying", "sizes"),
    [
        (2, False, False, {}),
        (2, True, True, {"max_features": 4}),
        (3, True, False, {"min_arm": 2}),
        (2, False, False, {"honest": False, "trees_per_bag": 1, "sample_share": 1.0}),
    ],
)
def test_a_tree_is_the_one_a_plain_grower_finds(n_arms, weighted, varying, sizes):
    w = world(800, n_arms=n_arms, weighted=weighted, varying=varying)
    rows, scales, plan, growth, _ = packed(w, n_trees=4, **sizes)
    trees = grow_trees(rows, scales, plan, n_trees=4)
    design = Design(w.arm, w.propensity, w.weight)
    weight = balancing_weights(design, np.arange(len(w.arm)))
    for tree in (0, 3):
        plain = plain_tree(rows, plan, growth, tree)
        leaves = same(trees, tree, trees.root[tree], plain, Truth(w.arm, w.residual), weight)
        assert leaves > 5


def test_roles_are_those_of_the_plain_twin_and_have_their_shares():
    unit = np.arange(20_000).astype(np.uint64)
    growth = Growth(**SIZES)
    for tree in (0, 1, 6):
        chooses, fills = plain_roles(unit, tree, growth)
        chosen, filling = rows_of(tree, unit, growth.draws())
        np.testing.assert_array_equal(chosen, np.flatnonzero(chooses))
        np.testing.assert_array_equal(filling, np.flatnonzero(fills))
        assert len(chosen) / 20_000 == pytest.approx(0.25, abs=0.015)
        assert len(filling) / 20_000 == pytest.approx(0.25, abs=0.015)


def test_trees_of_a_bag_share_a_half_and_differ_inside_it():
    unit = np.arange(4000).astype(np.uint64)
    draws = draws_of(seed=3, per_bag=4, sample_share=0.5, honest=True)
    seen = [set(np.concatenate(rows_of(tree, unit, draws)).tolist()) for tree in range(8)]
    assert seen[0] == seen[3]
    assert len(seen[0] & seen[4]) / 4000 == pytest.approx(0.25, abs=0.03)
    chosen = [set(rows_of(tree, unit, draws)[0].tolist()) for tree in range(4)]
    for one, other in pairwise(chosen):
        assert len(one & other) / 4000 == pytest.approx(0.125, abs=0.03)


# ---- laws ----


@pytest.fixture(scope="module")
def plain():
    w = world(3000)
    return w, *grown(w)


def test_threads_and_the_order_of_rows_change_no_bit(plain):
    w, trees, bins, _ = plain
    order = np.random.default_rng(0).permutation(len(w.arm))
    again, _, _ = grown(w, n_threads=1, bins=bins)
    shuffled, _, _ = grown(w.taken(order), n_threads=2)
    assert again.to_bytes() == trees.to_bytes()
    assert shuffled.to_bytes() == trees.to_bytes()


def test_weighted_and_varying_rows_may_be_shuffled_too():
    w = world(2000, weighted=True, varying=True, n_arms=3)
    order = np.random.default_rng(0).permutation(len(w.arm))
    assert grown(w.taken(order))[0].to_bytes() == grown(w)[0].to_bytes()


def test_rows_of_one_cluster_are_in_the_same_role():
    unit = np.repeat(np.arange(500), 7).astype(np.uint64)
    draws = draws_of(seed=3, per_bag=4, sample_share=0.5, honest=True)
    for tree in range(4):
        chosen, filling = (set(unit[part].tolist()) for part in rows_of(tree, unit, draws))
        assert not chosen & filling
        assert sum(np.isin(unit, list(chosen))) == len(rows_of(tree, unit, draws)[0])


def test_rows_given_twice_equal_doubled_weights(plain):
    w = plain[0]
    twice = w.taken(np.repeat(np.arange(len(w.arm)), 2))
    heavy = World(w.columns, w.arm, w.residual, 2 * w.weight, w.propensity, w.unit)
    # a leaf counts units of average weight, of which there are twice as many
    one, bins, growth = grown(heavy)
    two, bins_of_two, _ = grown(twice, min_leaf=20, min_arm=6)
    for edges, other in zip(bins.edges, bins_of_two.edges, strict=True):
        assert edges is other is None or np.array_equal(edges, other)
    np.testing.assert_array_equal(one.goes_left, two.goes_left)
    np.testing.assert_allclose(
        effects_of(one, bins, growth, w.columns),
        effects_of(two, bins, growth, w.columns),
        rtol=1e-12,
        atol=1e-12,
    )


def test_weights_in_another_unit_change_no_bit(plain):
    w, trees, _, _ = plain
    small = World(w.columns, w.arm, w.residual, w.weight / 1024, w.propensity, w.unit)
    np.testing.assert_array_equal(grown(small)[0].shares, trees.shares)


def test_swapped_arms_turn_the_effects_round_exactly(plain):
    w, trees, bins, growth = plain
    swapped = World(w.columns, 1 - w.arm, w.residual, w.weight, w.propensity, w.unit)
    other = grown(swapped)[0]
    effects = effects_of(trees, bins, growth, w.columns)
    np.testing.assert_allclose(effects_of(other, bins, growth, w.columns), -effects, atol=1e-12)


def test_a_constant_effect_without_noise_is_found_everywhere():
    w = world(2000, n_arms=3)
    exact = World(w.columns, w.arm, np.array([0.0, 2, -1])[w.arm], w.weight, w.propensity, w.unit)
    trees, bins, growth = grown(exact)
    effects = effects_of(trees, bins, growth, w.columns)
    np.testing.assert_allclose(effects, np.tile([2.0, -1.0], (2000, 1)), rtol=1e-12)
    assert len(trees.feature) == trees.n_trees  # nothing to gain, so no split


def test_effects_of_two_treatments_differ_by_the_effect_of_one_on_the_other():
    w = world(3000, n_arms=3)
    numbers = World(w.columns[:3], w.arm, w.residual, w.weight, w.propensity, w.unit)
    effects = effects_of(*grown(numbers), numbers.columns)
    renamed = World(w.columns[:3], (w.arm + 2) % 3, w.residual, w.weight, w.propensity, w.unit)
    other = effects_of(*grown(renamed), numbers.columns)  # arm 1 is the control now
    expected = np.column_stack([effects[:, 1] - effects[:, 0], -effects[:, 0]])
    np.testing.assert_allclose(other, expected, atol=1e-12)


@pytest.mark.parametrize("varying", [False, True])
def test_a_forest_without_splits_is_the_residual_on_residual_estimate(varying):
    w = world(2000, weighted=True, varying=varying)
    trees, bins, growth = grown(
        w, max_depth=0, honest=False, trees_per_bag=1, sample_share=1.0, n_trees=1
    )
    found = effects_of(trees, bins, growth, w.columns)
    weight = balancing_weights(Design(w.arm, w.propensity, w.weight), np.arange(len(w.arm)))
    # weighted least squares of the residual on (1, arm - propensity), by its normal equations
    share = w.propensity[:, 1] if not varying else np.average(w.arm, weights=weight)
    design = np.column_stack([np.ones(len(w.arm)), w.arm - share])
    slope = np.linalg.solve(design.T @ (weight[:, None] * design), design.T @ (weight * w.residual))
    np.testing.assert_allclose(found, slope[1], rtol=1e-11)


def test_balanced_arms_have_the_same_mean_of_everything_the_propensity_knows():
    """Overlap weights balance exactly in expectation: here propensities take two values."""
    n = 40_000
    rng = np.random.default_rng(2)
    kind = rng.integers(0, 2, n)
    treated = np.where(kind == 1, 0.8, 0.3)
    arm = (rng.random(n) < treated).astype(int)
    design = Design(arm, np.column_stack([1 - treated, treated]))
    weight = balancing_weights(design, np.arange(n))
    shares = [np.average(kind[arm == k], weights=weight[arm == k]) for k in (0, 1)]
    assert abs(shares[0] - shares[1]) < 0.02
    assert abs(kind[arm == 0].mean() - kind[arm == 1].mean()) > 0.3
    for k in (0, 1):
        assert weight[arm == k].sum() == pytest.approx((arm == k).sum(), rel=1e-12)


def test_no_leaf_is_smaller_than_it_may_be(plain):
    w = plain[0]
    rows, scales, plan, growth, _ = packed(w)
    trees = grow_trees(rows, scales, plan, n_trees=2)
    codes = read_codes(trees, rows.codes, 0)
    chooses, _ = plain_roles(rows.unit, 0, growth)
    for leaf in np.unique(codes):
        inside = chooses & (codes == leaf)
        assert inside.sum() >= SIZES["min_leaf"]
        assert min((inside & (w.arm == k)).sum() for k in (0, 1)) >= SIZES["min_arm"]


def read_codes(trees, codes, tree):
    """The leaf of each row in one tree, walked in plain Python."""
    found = []
    for row in codes:
        node = trees.root[tree]
        while trees.feature[node] >= 0:
            code = int(row[trees.feature[node]])
            left = int(trees.goes_left[node][code >> 6]) >> (code & 63) & 1
            node = trees.child[node] + 1 - left
        found.append(trees.child[node])
    return np.array(found)


def test_reading_is_the_sum_of_the_leaves_a_plain_walk_finds(plain):
    w, trees, bins, growth = plain
    codes = bins.encode(w.columns, n_rows=len(w.arm))[:200]
    expected = sum(trees.shares[read_codes(trees, codes, t)] for t in range(trees.n_trees))
    found = read_trees(trees, codes, growth.draws()).sums
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)


def test_out_of_bag_reading_leaves_out_the_trees_that_used_a_row(plain):
    w, trees, bins, growth = plain
    codes = bins.encode(w.columns, n_rows=len(w.arm))[:100]
    unit = w.unit[:100].astype(np.uint64)
    expected = np.zeros((100, 2, 2))
    for tree in range(trees.n_trees):
        used = np.logical_or(*plain_roles(unit, tree, growth))
        shares = trees.shares[read_codes(trees, codes, tree)]
        expected += np.where(used[:, None, None], 0, shares)
    found = read_trees(trees, codes, growth.draws(), unit=unit).sums
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)


def test_variances_between_and_within_bags_are_those_of_plain_arrays():
    w = world(1500, n_arms=3)
    trees, bins, growth = grown(w, n_trees=16)
    codes = bins.encode(w.columns, n_rows=len(w.arm))[:50]
    shares = np.array([trees.shares[read_codes(trees, codes, t)] for t in range(16)])
    weight, residual = shares.mean(axis=0)[..., 0], shares.mean(axis=0)[..., 1]
    pull = (shares[..., 1] - shares[..., 0] * residual / weight) / weight  # trees, rows, arms
    bags = (pull[..., 1:] - pull[..., :1]).reshape(4, 4, 50, 2)
    reading = read_trees(trees, codes, growth.draws(), spread=True)
    between = (bags.mean(axis=1) ** 2).mean(axis=0)
    np.testing.assert_allclose(reading.spread[..., 0], between, rtol=1e-9)
    within = bags.var(axis=1, ddof=1).mean(axis=0)
    np.testing.assert_allclose(reading.spread[..., 1], within, rtol=1e-9)
    assert (reading.spread[..., 2] == 4).all()


def test_variances_of_training_rows_come_from_bags_that_hold_none_of_them():
    w = world(1500)
    trees, bins, growth = grown(w, n_trees=40)
    codes, unit = bins.encode(w.columns, n_rows=1500)[:60], w.unit[:60].astype(np.uint64)
    reading = read_trees(trees, codes, growth.draws(), unit=unit, spread=True)
    inside = [np.logical_or(*plain_roles(unit, 4 * bag, growth)) for bag in range(10)]
    without = (~np.array(inside)).sum(axis=0)  # of one bag no variance can be said
    np.testing.assert_array_equal(reading.spread[:, 0, 2], np.where(without > 1, without, 0))
