import numpy as np
import pytest
from scipy import stats

from uplift.errors import DefinitionError
from uplift.inference.exact_proportions import exact_interval
from uplift.inference.means import welch
from uplift.inference.moments import Moments
from uplift.inference.proportion_tests import Events
from uplift.inference.proportions import score_statistic


def slow_p_value(difference, t, c, side):
    """The same p-value over every table and a fine grid of pairs, one number at a time."""
    counts = [(a, b) for a in range(t.n_units + 1) for b in range(c.n_units + 1)]
    sizes = (t.n_units, c.n_units)
    found = np.array([side * score_statistic(difference, pair, sizes) for pair in counts])
    extreme = found >= side * score_statistic(difference, (t.events, c.events), sizes) - 1e-9
    worst, tail = 0.0, 2.5e-7  # pairs that the events rule out are left out, as they are there
    (low_t, high_t), (low_c, high_c) = (
        stats.binomtest(arm.events, arm.n_units).proportion_ci(1 - 2 * tail) for arm in (t, c)
    )
    lower = max(low_c, low_t - difference, 0, -difference)
    for p_c in np.linspace(lower, min(high_c, high_t - difference, 1, 1 - difference), 801):
        chance = np.outer(
            stats.binom.pmf(range(t.n_units + 1), t.n_units, p_c + difference),
            stats.binom.pmf(range(c.n_units + 1), c.n_units, p_c),
        ).ravel()
        worst = max(worst, chance[extreme].sum())
    return worst


@pytest.mark.parametrize("arms", [((3, 14), (1, 9)), ((0, 10), (2, 12)), ((8, 8), (3, 7))])
def test_the_limits_are_where_the_worst_pair_is_just_rare(arms):
    t, c = (Events(*arm) for arm in arms)
    low, high = exact_interval(t, c, confidence=0.9)
    for limit, side, inward in ((low, 1.0, 1e-4), (high, -1.0, -1e-4)):
        if abs(limit) == 1:
            continue
        assert slow_p_value(limit - inward, t, c, side) <= 0.05 + 1e-4
        assert slow_p_value(limit + inward, t, c, side) >= 0.05 - 1e-4


def coverage(interval, p_t, p_c, n_t, n_c):
    """Exact probability that the interval holds the true difference (few events)."""
    a, b = range(5), range(4)
    chance = np.outer(stats.binom.pmf(a, n_t, p_t), stats.binom.pmf(b, n_c, p_c))
    ci = np.array([[interval(Events(i, n_t), Events(j, n_c)) for j in b] for i in a])
    return float(chance[(ci[..., 0] <= p_t - p_c) & (p_t - p_c <= ci[..., 1])].sum())


def test_it_covers_whatever_the_proportions_and_the_normal_interval_does_not():
    def normal(t, c):
        arms = (Moments.of({"y": np.arange(arm.n_units) < arm.events}, ["y"]) for arm in (t, c))
        return welch(*arms, column="y").ci

    arms = {"p_t": 0.001, "p_c": 0.002, "n_t": 300, "n_c": 100}
    assert coverage(exact_interval, **arms) >= 0.95  # more events than enumerated: chance 1e-4
    assert coverage(normal, **arms) < 0.9


def test_swapped_arms_give_the_mirrored_interval_and_no_event_a_narrow_one():
    low, high = exact_interval(Events(7, 34), Events(1, 34))
    other = exact_interval(Events(1, 34), Events(7, 34))
    assert (low, high) == pytest.approx((-other[1], -other[0]), abs=1e-6)
    low, high = exact_interval(Events(0, 2_000), Events(0, 2_000))
    assert -0.002 < low < 0 < high < 0.002
    assert exact_interval(Events(20, 20), Events(0, 20))[1] == 1.0


def test_more_tables_than_can_be_enumerated_are_refused():
    with pytest.raises(DefinitionError, match="use it") as caught:
        exact_interval(Events(50_000, 100_000), Events(50_000, 100_000))
    assert caught.value.code == "EXACT_TOO_LARGE"
