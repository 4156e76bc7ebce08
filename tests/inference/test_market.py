import numpy as np
import pytest

from uplift.errors import UpliftError
from uplift.inference.interactions import interaction
from uplift.inference.market import market_or_campaign
from uplift.inference.means import welch
from uplift.inference.moments import Moments
from uplift.inference.periods import PeriodMeans, covariances_of

MONTHS = ["m1", "m2", "m3", "m4"]
R = 250
BAND = 3 * np.sqrt(0.05 * 0.95 / R)


def panel(rng, n, *, effect=0.1, market=0.0, weaker=0.0):
    """The same customers in four months; from the third on the market or the campaign may move."""
    level = rng.gamma(4, 2, n)
    data = {}
    for i, month in enumerate(MONTHS):
        late = i >= 2
        factor = (1 + market * late) * (1 + effect * (1 - weaker * late))
        data[month] = factor * level * rng.gamma(5, 0.2, n)
    return PeriodMeans.of_panel(Moments.of(data, MONTHS, covariances_of(MONTHS)), MONTHS)


def read(rng, n=3_000, **options):
    market = options.get("market", 0.0)
    t = panel(rng, n, market=market, weaker=options.get("weaker", 0.0))
    c = panel(rng, n, effect=0.0, market=market)
    return market_or_campaign(t, c, n_after=2, scale=options.get("scale", "relative"))


@pytest.mark.parametrize(
    ("moved", "options"),
    [
        ("market", {"market": -0.15}),
        ("campaign", {"weaker": 1.0}),
        ("both", {"market": -0.15, "weaker": 1.0}),
        ("neither", {}),
    ],
)
def test_a_shock_on_all_is_the_market_and_one_on_the_treated_the_campaign(moved, options):
    rng = np.random.default_rng(1)
    found = [read(rng, **options).moved for _ in range(40)]
    assert found.count(moved) >= 36


def test_nothing_moved_is_called_moved_in_at_most_five_of_a_hundred():
    rng = np.random.default_rng(2)
    moved = [read(rng, n=300).moved != "neither" for _ in range(R)]
    assert np.mean(moved) <= 0.05 + BAND


def test_a_market_that_moved_is_not_blamed_on_the_campaign_unless_read_absolutely():
    rng = np.random.default_rng(3)
    relative, absolute = [], []
    for _ in range(200):
        t, c = panel(rng, 3_000, market=-0.5, effect=0.4), panel(rng, 3_000, effect=0, market=-0.5)
        relative.append(market_or_campaign(t, c, n_after=2).campaign.p_value < 0.05)
        absolute.append(
            market_or_campaign(t, c, n_after=2, scale="absolute").campaign.p_value < 0.05
        )
    assert np.mean(relative) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
    assert np.mean(absolute) > 0.9


def test_the_changes_are_what_they_say():
    rng = np.random.default_rng(4)
    found = read(rng, n=400_000, market=-0.2, weaker=0.5)
    assert found.market.change == pytest.approx(-0.2, abs=0.005)
    assert found.campaign.before == pytest.approx(0.1, abs=0.01)
    assert found.campaign.after == pytest.approx(0.05, abs=0.01)
    assert found.campaign.change == pytest.approx(1.05 / 1.1 - 1, abs=0.01)
    absolute = read(rng, n=100_000, market=-0.2, scale="absolute")
    assert absolute.market.change == pytest.approx(-0.2 * absolute.market.before, rel=0.05)
    assert "Proven to have moved: both" in found.table().text()


def test_waves_of_other_customers_are_a_plain_difference_of_means():
    rng = np.random.default_rng(5)
    cells = [[Moments.of({"y": rng.normal(5, 1, 60)}, ["y"]) for _ in range(2)] for _ in range(2)]
    t, c = (PeriodMeans.of_waves(arm, "y") for arm in cells)
    found = market_or_campaign(t, c, scale="absolute")
    oracle = welch(cells[1][1], cells[1][0], column="y")
    assert found.market.change == pytest.approx(oracle.effect)
    assert found.market.p_value == pytest.approx(oracle.p_value)


def test_what_cannot_be_compared_is_refused():
    rng = np.random.default_rng(6)
    t, c = panel(rng, 50), panel(rng, 50)
    with pytest.raises(UpliftError, match="both sides of 4"):
        market_or_campaign(t, c, n_after=4)
    with pytest.raises(UpliftError, match="'relative' or 'absolute'"):
        market_or_campaign(t, c, scale="log")  # type: ignore[arg-type]
    negative = PeriodMeans.of_waves([Moments.of({"y": [-1.0, -2.0]}, ["y"])] * 2, "y")
    with pytest.raises(UpliftError, match="absolute scale"):
        market_or_campaign(negative, negative)
    with pytest.raises(UpliftError, match="same periods"):
        market_or_campaign(t, negative)


def cell(rng, mean, n=80, sd=1.0):
    return Moments.of({"y": rng.normal(mean, sd, n)}, ["y"])


def crossed(rng, *, extra=0.0, sd=1.0):
    return interaction(
        neither=cell(rng, 5),
        first=cell(rng, 5.5),
        second=cell(rng, 5.2, 200),
        both=cell(rng, 5.7 + extra, 30, sd),
        column="y",
    )


def test_campaigns_that_add_up_interact_in_five_of_a_hundred_tests():
    rng = np.random.default_rng(7)
    p_values = np.array([crossed(rng, sd=2.0).interaction.p_value for _ in range(R)])
    assert np.mean(p_values < 0.05) == pytest.approx(0.05, abs=BAND)
    assert crossed(rng, extra=3.0).interaction.p_value < 0.001


def test_the_interaction_is_the_difference_of_the_two_effects():
    rng = np.random.default_rng(8)
    found = crossed(rng, extra=1.0)
    assert found.interaction.effect == pytest.approx(found.together.effect - found.alone.effect)
    expected = np.hypot(found.alone.std_error, found.together.std_error)
    assert found.interaction.std_error == pytest.approx(expected)
    assert found.interaction.df == pytest.approx(
        found.interaction.std_error**4
        / (
            found.alone.std_error**4 / found.alone.df
            + found.together.std_error**4 / found.together.df
        )
    )
    assert np.isnan(found.interaction.relative_ci).all()
    assert "interaction" in found.table().text()
