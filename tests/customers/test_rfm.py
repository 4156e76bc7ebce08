"""The RFM rule against a slow plain count."""

import numpy as np
import pandas as pd
import pytest

from uplift.customers.rfm import RFM_COLUMNS, has_rfm, rfm_score
from uplift.errors import DataError


def features_of(n_units=200, seed=1):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "recency_days": rng.exponential(20, n_units),
            "n_baskets_182d": rng.poisson(8, n_units).astype(float),
            "spend_182d_before": rng.lognormal(5, 1, n_units),
        }
    )


def test_distinct_values_split_into_equal_fifths():
    features = features_of().drop(columns="n_baskets_182d").assign(n_baskets_182d=range(200))
    score = rfm_score(features)
    recency_rank = (-features["recency_days"]).rank()
    expected = sum(
        np.ceil(rank / 40)
        for rank in (
            recency_rank,
            features["n_baskets_182d"].rank(),
            features["spend_182d_before"].rank(),
        )
    )
    np.testing.assert_array_equal(score, expected)


def test_scores_run_from_3_to_15_and_equal_customers_score_equally():
    features = pd.concat([features_of(), features_of()], ignore_index=True)
    score = rfm_score(features)
    assert score.min() >= 3
    assert score.max() <= 15
    np.testing.assert_array_equal(score[:200], score[200:])


def test_a_better_customer_never_scores_less():
    features = features_of()
    better = features.assign(
        recency_days=features["recency_days"] * 0.5,
        spend_182d_before=features["spend_182d_before"] * 2,
    )
    assert (rfm_score(better, reference=features) >= rfm_score(features)).all()


def test_with_a_reference_a_score_does_not_depend_on_who_else_is_scored():
    features = features_of()
    alone = [rfm_score(features.iloc[[i]], reference=features)[0] for i in range(20)]
    np.testing.assert_array_equal(alone, rfm_score(features)[:20])


def test_an_unknown_recency_is_the_worst():
    features = features_of()
    features.loc[0, "recency_days"] = np.nan
    worst = features.assign(recency_days=features["recency_days"].fillna(1e9))
    np.testing.assert_array_equal(rfm_score(features), rfm_score(worst))


@pytest.mark.parametrize("column", RFM_COLUMNS)
def test_the_rule_needs_its_columns(column):
    features = features_of().drop(columns=column)
    assert not has_rfm(features)
    with pytest.raises(DataError, match=column):
        rfm_score(features)
