"""The draw is the same everywhere, uniform, independent between experiments, and stable."""

import itertools
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from uplift.assignment.hashing import (
    arm_ranges,
    draw_arms,
    hash_units,
    salt_of,
    slots,
)
from uplift.inference.multiplicity import holm

# made by: printf '%s' "frozen:arm:1:$id" | md5sum | cut -c1-16
FROZEN = [
    ("1", "94f7cedeabb6851b"),
    ("2", "8205e2ed91392e69"),
    ("00123", "a99801a74cb43e9d"),
    ("123", "7432bc9557973604"),
    ("NA", "b29c3735a39497e9"),
    ("null", "843af76939c4ddf8"),
    ("c0000001", "107afa0a7b7f0808"),
    ("C0000001", "67def6aafa037249"),
    ("a b", "95489b0ba21112fd"),
    ("9007199254740993", "bdb9abdea78e901b"),
    ("José", "727a48cb36fd2760"),
    ("Müller", "84ad2a620db68f1a"),
    ("Ωmega", "06677d9f981492ef"),
    ("客户7", "496ea864df27e6f9"),
    ("клиент-9", "14dbe537b6b9b18a"),
    ("مشتري", "e234d7261d33c41d"),
    ("🛒42", "d6407b2763ec4400"),
    ("x:y", "3191d85e460b774b"),
    ("o'neil", "6ebd56f7f0ba552f"),
    ("e4b1c2d0-1f3a-4c55-9a77-0123456789ab", "4305840dad2662f0"),
]
UNITS = [f"c{i:07d}" for i in range(200_000)]


def shares(**percent: int) -> dict[str, Fraction]:
    return {arm: Fraction(share, 100) for arm, share in percent.items()}


@pytest.mark.parametrize(("unit", "expected"), FROZEN)
def test_the_hash_of_an_id_never_changes(unit, expected):
    assert hash_units([unit], salt="frozen:arm:1").tolist() == [int(expected, 16)]


def test_both_unicode_spellings_of_an_id_get_the_same_hash():
    composed, decomposed = hash_units(["José", "Jose\u0301"], salt="s")
    assert composed == decomposed


def test_slots_stay_below_one():
    values = np.array([0, 2**63, 2**64 - 1], dtype=np.uint64)
    assert slots(values).tolist()[:2] == [0.0, 0.5]
    assert slots(values)[2] < 1


@pytest.mark.parametrize("shape", ["c{:07d}", "{}@shop.example", "{:032x}"])
def test_a_million_ids_fall_evenly_over_the_slots(shape):
    n_units = 1_000_000 if shape == "c{:07d}" else 100_000
    values = hash_units((shape.format(i) for i in range(n_units)), salt="any:arm:1")
    counts = np.bincount((values >> np.uint64(54)).astype(np.int64), minlength=1024)
    assert stats.chisquare(counts).pvalue > 0.001


def test_experiments_draw_independently_of_each_other():
    arms = [
        draw_arms(
            hash_units(UNITS[:20_000], salt=salt_of(f"e{i}", "arm")), shares(control=50, a=50)
        )
        for i in range(15)
    ]
    p_values = [
        stats.chi2_contingency(pd.crosstab(first, second)).pvalue
        for first, second in itertools.combinations(arms, 2)
    ]
    assert len(p_values) > 100
    assert holm(p_values).min() > 0.001


def test_the_draws_of_two_purposes_of_one_experiment_are_independent():
    first = slots(hash_units(UNITS, salt=salt_of("spring", "arm")))
    second = slots(hash_units(UNITS, salt=salt_of("spring", "holdout")))
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(len(UNITS))


def test_a_salt_without_the_experiment_would_give_every_experiment_the_same_arms():
    half = shares(control=50, a=50)
    first, second = (draw_arms(hash_units(UNITS[:1000], salt="arm:1"), half) for _ in range(2))
    assert (first == second).all()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=2, max_size=6))
def test_every_arm_owns_exactly_its_share_of_the_slots(weights):
    names = ["control", *"abcdefgh"[: len(weights) - 1]]
    designed = {
        name: Fraction(weight, sum(weights)) for name, weight in zip(names, weights, strict=True)
    }
    ranges = arm_ranges(designed)
    ends = [*(piece.start for piece in ranges[1:]), Fraction(1)]
    owned = dict.fromkeys(names, Fraction(0))
    for piece, end in zip(ranges, ends, strict=True):
        owned[piece.arm] += end - piece.start
    assert owned == designed
    assert ranges[0].start == 0


def test_observed_shares_are_the_designed_ones():
    designed = {"control": Fraction(1, 3), "mens": Fraction(1, 2), "womens": Fraction(1, 6)}
    drawn = draw_arms(hash_units(UNITS, salt="x:arm:1"), designed)
    expected = [float(share) * len(UNITS) for share in designed.values()]
    assert stats.chisquare(np.bincount(drawn), expected).pvalue > 0.001


RAMPS = [
    (shares(control=50, a=25, b=25), shares(control=10, a=45, b=45)),
    (shares(control=30, a=60, b=10), shares(control=10, a=60, b=30)),
    (shares(control=30, a=60, b=10), shares(control=10, a=80, b=10)),
    (shares(control=70, a=10, b=10, c=10), shares(control=25, a=25, b=25, c=25)),
    (shares(control=70, a=10, b=10, c=10), shares(control=47, a=33, b=10, c=10)),
    (shares(control=90, a=10), shares(control=1, a=99)),
]


@pytest.mark.parametrize(("before", "after"), RAMPS)
def test_growth_takes_units_from_the_control_alone(before, after):
    values = hash_units(UNITS[:50_000], salt="ramp:arm:1")
    first, second = draw_arms(values, before), draw_arms(values, after)
    moved = first != second
    assert moved.any()
    assert (first[moved] == 0).all()  # and shrinking, read backwards, gives them to the control


def test_shares_laid_end_to_end_would_move_units_between_treatments():
    """The layout most tools use; shown so that the law above is known to be able to fail."""
    before, after = RAMPS[0]
    value = slots(hash_units(UNITS[:50_000], salt="ramp:arm:1"))
    first, second = (
        np.searchsorted(np.cumsum([float(share) for share in layout.values()]), value, side="right")
        for layout in (before, after)
    )
    assert ((first == 1) & (second == 2)).any()
