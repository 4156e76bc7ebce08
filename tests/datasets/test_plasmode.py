"""The plasmode campaign: real where it says real, and its truth is the truth."""

import numpy as np
import pandas as pd
import pytest

from uplift.customers.view import customer_view
from uplift.datasets.plasmode import LABEL, WINDOW_DAYS, plasmode_campaign
from uplift.errors import DataError, DefinitionError
from uplift.experiment import load_experiment
from uplift.trial import Trial

CONTROL, EMAIL, POST, TELEPHONE = range(4)


@pytest.fixture(scope="module")
def experiment(root):
    return load_experiment(root / "experiments" / "spring_voucher")


def randomly_assigned(campaign, seed=1):
    arm = np.random.default_rng(seed).integers(len(campaign.arms), size=len(campaign.customers))
    return pd.DataFrame(
        {
            "unit": campaign.customers["unit"],
            "arm": np.array(campaign.arms)[arm],
            "propensity": 0.25,
        }
    )


def test_under_random_assignment_means_differ_by_the_true_effect(campaign):
    assigned = randomly_assigned(campaign)
    outcomes = campaign.outcomes(assigned)
    control = outcomes[assigned["arm"] == "control"]
    for k, arm in enumerate(campaign.arms[1:], start=1):
        treated = outcomes[assigned["arm"] == arm]
        for name, potential in campaign.potential.items():
            truth = (potential[:, k] - potential[:, CONTROL]).mean()
            variance = treated[name].var() / len(treated) + control[name].var() / len(control)
            estimate = treated[name].mean() - control[name].mean()
            assert estimate == pytest.approx(truth, abs=4 * np.sqrt(variance)), (arm, name)


def test_features_are_those_of_the_real_household(campaign, journey):
    households = customer_view(journey.purchases, "2017-07-01").set_index("unit")
    customers = campaign.customers.set_index("household")
    real = households.loc[customers.index]
    pd.testing.assert_frame_equal(customers.drop(columns="unit"), real, check_names=False)


def test_without_a_contact_a_customer_spends_what_its_household_really_spent(campaign, journey):
    """The spend of each of 20 customers is that of some four weeks of its household."""
    purchases = journey.purchases
    start = pd.Timestamp("2017-07-01", tz="UTC")
    for i in range(20):
        household = campaign.customers["household"][i]
        later = purchases[(purchases["unit"] == household) & (purchases["occurred_at"] >= start)]
        days = later["occurred_at"].dt.floor("D").to_numpy()
        windows = [
            later["amount"][(days >= begin) & (days < begin + pd.Timedelta(days=WINDOW_DAYS))].sum()
            for begin in pd.date_range(start, periods=183 - WINDOW_DAYS)
        ]
        assert np.isclose(campaign.potential["spend"][i, CONTROL], windows).any()


def test_outcomes_of_a_customer_agree_with_each_other(campaign):
    spend, bought = campaign.potential["spend"], campaign.potential["bought"]
    assert (spend >= 0).all()
    np.testing.assert_array_equal(bought, spend > 0)
    assert (campaign.potential["redeemed"] <= bought).all()
    assert not campaign.potential["redeemed"][:, CONTROL].any()
    for values in campaign.potential.values():
        assert values.shape == (6_000, 4)
        assert np.isfinite(values).all()


def test_effects_differ_between_customers_and_some_are_harmed_by_calls(campaign):
    spend = campaign.potential["spend"]
    effects = spend - spend[:, [CONTROL]]
    deals = campaign.customers["discount_share_182d"]
    keen = (deals > deals.median()).to_numpy()
    assert effects[keen, EMAIL].mean() > 10 + effects[~keen, EMAIL].mean()
    assert effects[~keen, POST].mean() > 10 + effects[keen, POST].mean()
    harmed = (effects[:, TELEPHONE] < 0).mean()
    assert 0.2 < harmed < 0.6
    assert (effects[:, TELEPHONE] > 0).mean() > 0.1


def test_email_to_everyone_is_the_best_blanket_and_targeting_beats_it(campaign, experiment):
    profit = campaign.true_profit(experiment.economics)
    gain = (profit - profit[:, [CONTROL]]).mean(axis=0)
    assert gain.argmax() == EMAIL
    assert gain[EMAIL] > 1
    assert gain[TELEPHONE] < 0
    household = pd.factorize(campaign.customers["household"])[0]
    by_household = pd.DataFrame(profit).groupby(household).mean().to_numpy()
    assert by_household.max(axis=1)[household].mean() - profit[:, EMAIL].mean() > 2


def test_profit_counts_margin_contacts_and_redemptions(campaign, experiment):
    spend, redeemed = campaign.potential["spend"], campaign.potential["redeemed"]
    expected = 0.30 * spend[:, POST] - 5 * redeemed[:, POST] - 0.90
    np.testing.assert_allclose(campaign.true_profit(experiment.economics)[:, POST], expected)


def test_customers_the_campaign_left_out_behave_as_control(campaign):
    units = campaign.customers["unit"].iloc[[5, 3]]
    outcomes = campaign.untouched(units)
    assert outcomes["unit"].tolist() == units.tolist()
    np.testing.assert_array_equal(outcomes["spend"], campaign.potential["spend"][[5, 3], CONTROL])


def test_outcomes_follow_the_unit_not_the_position(campaign):
    assigned = randomly_assigned(campaign)
    shuffled = assigned.sample(frac=1, random_state=2)
    straight = campaign.outcomes(assigned).set_index("unit")
    crooked = campaign.outcomes(shuffled).set_index("unit")
    pd.testing.assert_frame_equal(straight.loc[crooked.index], crooked)


def test_the_campaign_joins_to_its_registered_experiment(campaign, experiment):
    assigned = randomly_assigned(campaign)
    outcomes = campaign.outcomes(assigned)
    trial = Trial.join(experiment, assigned, outcomes, campaign.customers)
    assert trial.arms == campaign.arms
    assert "spend_28d_before" in trial.features
    assert "household" not in trial.features
    assert (campaign.customers["n_baskets_182d"] >= 1).all()  # the experiment's audience


def test_ids_are_copies_of_households(campaign):
    units, household = campaign.customers["unit"], campaign.customers["household"]
    assert units.is_unique
    assert (units.str[:5] == household).all()
    assert units.str.fullmatch(r"h\d{4}_\d{4}").all()


def test_a_seed_gives_the_same_campaign_again(campaign):
    again = plasmode_campaign(6_000, seed=7)
    pd.testing.assert_frame_equal(again.customers, campaign.customers)
    for name, values in campaign.potential.items():
        np.testing.assert_array_equal(again.potential[name], values)


def test_the_next_month_has_other_features_and_other_customers(campaign):
    later = plasmode_campaign(500, seed=8, as_of="2017-08-01")
    assert (later.customers["as_of"] == pd.Timestamp("2017-08-01", tz="UTC")).all()
    assert list(later.customers.columns) == list(campaign.customers.columns)
    assert later.potential["spend"][:, CONTROL].mean() > 50


def test_it_is_labelled_wherever_it_is_shown(campaign):
    assert "Semi-synthetic" in LABEL
    for shown in (str(campaign), campaign.to_json(), campaign.table().html()):
        assert LABEL in shown
    assert "SEMI-SYNTHETIC" in campaign.card.traps[0]


def test_strangers_and_unknown_arms_are_refused(campaign):
    assigned = randomly_assigned(campaign).head(3)
    with pytest.raises(DataError, match="'sms' is not an arm") as refusal:
        campaign.outcomes(assigned.assign(arm="sms"))
    assert refusal.value.code == "ARM_UNKNOWN"
    with pytest.raises(DataError, match="not customers of this campaign") as refusal:
        campaign.outcomes(assigned.assign(unit=["a", "b", "c"]))
    assert refusal.value.code == "UNIT_UNKNOWN"


@pytest.mark.parametrize("as_of", ["2016-12-31", "2017-12-20"])
def test_a_date_without_a_past_or_a_future_in_the_data_is_refused(as_of):
    with pytest.raises(DefinitionError, match="Choose a date in the data") as refusal:
        plasmode_campaign(10, as_of=as_of)
    assert refusal.value.code == "TIME_WINDOW"


def test_a_campaign_needs_customers():
    with pytest.raises(DefinitionError, match="n_units"):
        plasmode_campaign(0)
