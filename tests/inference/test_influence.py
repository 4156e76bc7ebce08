from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uplift.errors import DataError
from uplift.inference.influence import Extremes, influence, leave_out
from uplift.inference.means import welch
from uplift.inference.moments import Moments


def moments(values):
    return Moments.of({"y": np.asarray(values, dtype=float)}, ["y"])


def read(t, c, k=10, **options):
    return influence(
        moments(t),
        moments(c),
        column="y",
        treatment_ends=Extremes.of(t, k),
        control_ends=Extremes.of(c, k),
        k=k,
        **options,
    )


def spend(rng, n, buyers=0.05):
    return np.where(rng.random(n) < buyers, rng.lognormal(3, 1, n), 0.0)


def test_without_the_largest_it_is_welch_of_the_others():
    rng = np.random.default_rng(1)
    t, c = spend(rng, 800), spend(rng, 1_200)
    found = read(t, c)
    cut = np.sort(np.abs(np.r_[t, c]))[-10]
    oracle = welch(moments(t[t < cut]), moments(c[c < cut]), column="y")
    assert found.without.effect == pytest.approx(oracle.effect, rel=1e-9)
    assert found.without.std_error == pytest.approx(oracle.std_error, rel=1e-9)
    assert found.carried == pytest.approx(1 - oracle.effect / found.effect.effect)


@settings(max_examples=60, deadline=None)
@given(
    t=st.lists(st.integers(-20, 20), min_size=6, max_size=9),
    c=st.lists(st.integers(-20, 20), min_size=6, max_size=9),
)
def test_the_worst_case_is_that_of_every_possible_choice(t, c):
    found = read(t, c, k=3)
    gain = found.effect.effect > 0
    pool = [(0, i) for i in range(len(t))] + [(1, i) for i in range(len(c))]

    def effect_without(chosen):
        left = [
            [v for i, v in enumerate(arm) if (a, i) not in chosen] for a, arm in enumerate((t, c))
        ]
        return np.mean(left[0]) - np.mean(left[1])

    effects = [effect_without(set(chosen)) for chosen in combinations(pool, 3)]
    expected = min(effects) if gain else max(effects)
    assert found.worst.effect == pytest.approx(expected, abs=1e-9)


def test_ten_customers_that_carry_an_effect_are_seen():
    rng = np.random.default_rng(2)
    t, c = rng.exponential(1, 5_000), rng.exponential(1, 5_000)
    t[:8] = 400.0
    found = read(t, c)
    assert found.effect.effect > 0.5
    assert found.carried > 0.8
    assert found.proven
    assert not found.survives
    check = found.check()
    assert (check.verdict, check.code) == ("warning", "INFLUENCE")
    assert found.undone_by is not None
    assert found.undone_by <= 8
    assert f"Without {found.undone_by} customer(s)" in found.table().text()


def test_a_broad_effect_survives_the_loss_of_any_ten():
    rng = np.random.default_rng(3)
    found = read(1.0 + rng.exponential(1, 5_000), rng.exponential(1, 5_000))
    assert found.survives
    assert found.check().passed
    assert (found.turned_by, found.undone_by) == (None, None)
    assert abs(found.carried) < 0.05
    assert "however chosen" in found.statement


def test_a_loss_is_looked_at_from_its_own_side():
    rng = np.random.default_rng(4)
    t, c = spend(rng, 3_000), spend(rng, 3_000) + 0.2
    gain, loss = read(c, t), read(t, c)
    assert loss.effect.effect == -gain.effect.effect
    assert loss.worst.effect == pytest.approx(-gain.worst.effect)
    assert loss.undone_by == gain.undone_by
    assert loss.carried == pytest.approx(gain.carried)


def test_without_an_effect_nothing_is_said_of_its_proof():
    rng = np.random.default_rng(5)
    found = read(spend(rng, 900), spend(rng, 900))
    if not found.proven:
        assert found.check().passed
        assert found.undone_by is None
        assert "not proven with all" in found.statement


def test_units_are_taken_out_of_moments_exactly():
    rng = np.random.default_rng(6)
    values = 1e9 + rng.normal(0, 1, 1_000)
    out = values[:5]
    found, oracle = leave_out(moments(values), out, column="y"), moments(values[5:])
    assert found.count == 995
    exact = (oracle.mean[0] - found.mean[0]) + (oracle.rest[0] - found.rest[0])
    assert abs(exact) < 1e-9
    assert found.variance("y") == pytest.approx(oracle.variance("y"), rel=1e-6)


def test_when_all_buyers_are_left_out_nothing_varies_any_more():
    t, c = np.zeros(500), np.zeros(500)
    t[:4], c[:2] = [30.0, 1e6, 12.5, 7.1], [20.0, 3.3]
    found = read(t, c)
    assert found.without.effect == pytest.approx(0, abs=1e-9)
    assert np.isnan(found.without.ci[0])
    assert not found.survives


def test_tiny_arms_are_refused_and_small_ones_lose_fewer():
    with pytest.raises(DataError, match="at least 3") as caught:
        read([1.0, 2.0], [1.0, 2.0, 3.0])
    assert caught.value.code == "ARM_TOO_SMALL"
    assert read([1.0, 2.0, 5.0, 9.0], [1.0, 2.0, 3.0, 4.0]).n_left_out == 2
