"""The customer view against numbers worked out by hand, and against the future."""

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pytest

from uplift.customers.view import customer_view, utc_moment
from uplift.errors import DataError, DefinitionError

AS_OF = "2017-07-01"
LINES = [  # unit, days before as_of, basket, amount, discount, category
    ("anna", 7, "a1", 10.0, 0.0, "bread"),
    ("anna", 7, "a1", 20.0, 5.0, "wine"),
    ("anna", 28, "a2", 15.0, 0.0, "bread"),
    ("anna", 49, "a3", 6.0, 0.0, "bread"),
    ("bert", 91, "b1", 40.0, 10.0, "wine"),
    ("cleo", 200, "c1", 99.0, 1.0, "tea"),
    ("dora", 0.5, "d1", -5.0, 0.0, "tea"),  # a return
    ("dora", 182, "d2", 25.0, 25.0, "tea"),
    ("dora", 182.5, "d3", 7.0, 0.0, "tea"),
    ("emil", 3, "e1", 4.0, 0.0, "bread"),
    ("emil", 3, "e2", 8.0, 0.0, None),
]
EXPECTED = {
    # baskets of 30 (7 days), 15 (28 days) and 6 (49 days) before
    "anna": {
        "recency_days": 7,
        "tenure_days": 49,
        "n_baskets_28d": 2,
        "n_baskets_91d": 3,
        "n_baskets_182d": 3,
        "n_active_weeks_182d": 3,
        "spend_28d_before": 45,
        "spend_91d_before": 51,
        "spend_182d_before": 51,
        "spend_change_28d": 39,
        "basket_mean_182d": 17,
        "basket_max_182d": 30,
        "days_between_baskets": 21,
        "discount_share_182d": 5 / 56,
        "discount_basket_share_182d": 1 / 3,
        "n_categories_182d": 2,
        "top_category_share_182d": 31 / 51,
    },
    "bert": {  # one basket: a gap is unknown
        "recency_days": 91,
        "n_baskets_28d": 0,
        "n_baskets_91d": 1,
        "spend_28d_before": 0,
        "spend_91d_before": 40,
        "spend_change_28d": 0,
        "days_between_baskets": np.nan,
        "discount_share_182d": 0.2,
        "discount_basket_share_182d": 1,
        "n_categories_182d": 1,
        "top_category_share_182d": 1,
    },
    "cleo": {  # known, but silent for the half year
        "recency_days": 200,
        "tenure_days": 200,
        "n_baskets_182d": 0,
        "n_active_weeks_182d": 0,
        "spend_182d_before": 0,
        "basket_mean_182d": np.nan,
        "discount_share_182d": np.nan,
        "n_categories_182d": 0,
        "top_category_share_182d": np.nan,
    },
    "dora": {  # a return counts as negative spend; day 182 is inside the window, 182.5 is not
        "recency_days": 0.5,
        "tenure_days": 182.5,
        "n_baskets_182d": 2,
        "n_active_weeks_182d": 2,
        "spend_28d_before": -5,
        "spend_182d_before": 20,
        "spend_change_28d": -5,
        "basket_mean_182d": 10,
        "basket_max_182d": 25,
        "days_between_baskets": 181.5,
        "discount_share_182d": 25 / 45,
        "n_categories_182d": 1,
    },
    "emil": {  # two baskets at the same moment; a line without a category
        "n_baskets_28d": 2,
        "n_active_weeks_182d": 1,
        "spend_28d_before": 12,
        "days_between_baskets": 0,
        "discount_share_182d": 0,
        "discount_basket_share_182d": 0,
        "n_categories_182d": 1,
        "top_category_share_182d": 1,
    },
}


def purchases_of(lines=LINES):
    columns = ["unit", "days", "basket", "amount", "discount", "category"]
    frame = pd.DataFrame(lines, columns=columns)
    occurred_at = pd.Timestamp(AS_OF, tz="UTC") - pd.to_timedelta(frame.pop("days"), unit="D")
    return frame.assign(occurred_at=occurred_at)


@pytest.fixture
def purchases():
    return purchases_of()


def test_five_customers_by_hand(purchases):
    view = customer_view(purchases, AS_OF).set_index("unit")
    assert view.index.tolist() == ["anna", "bert", "cleo", "dora", "emil"]
    for unit, features in EXPECTED.items():
        found = view.loc[unit, list(features)].astype(float)
        np.testing.assert_allclose(found, list(features.values()), rtol=1e-12, err_msg=unit)


def test_purchases_at_or_after_the_date_change_nothing(purchases):
    later = purchases.assign(
        occurred_at=pd.Timestamp(AS_OF, tz="UTC") + pd.to_timedelta(range(len(purchases)), unit="D")
    )
    later["amount"] = 1e6
    newcomer = later.assign(unit="zoe")
    both = pd.concat([later, purchases, newcomer], ignore_index=True)
    pd.testing.assert_frame_equal(customer_view(both, AS_OF), customer_view(purchases, AS_OF))


def test_a_basket_that_spans_the_date_is_read_up_to_it():
    view = customer_view(
        purchases_of(
            [("anna", 1, "a1", 10.0, 0.0, "tea"), ("anna", -0.001, "a1", 90.0, 0.0, "tea")]
        ),
        AS_OF,
    )
    assert view["spend_28d_before"].tolist() == [10.0]


def test_the_order_of_the_lines_does_not_matter(purchases):
    shuffled = purchases.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(customer_view(shuffled, AS_OF), customer_view(purchases, AS_OF))


def test_without_categories_the_features_of_categories_are_absent(purchases):
    plain = customer_view(purchases.drop(columns="category"), AS_OF)
    full = customer_view(purchases, AS_OF)
    pd.testing.assert_frame_equal(plain, full.drop(columns=list(full.columns[-2:])))


def test_features_are_numbers_and_the_row_says_its_date(purchases):
    view = customer_view(purchases, AS_OF)
    assert (view["as_of"] == pd.Timestamp(AS_OF, tz="UTC")).all()
    assert set(view.dtypes.iloc[2:].astype(str)) == {"float64"}


def test_wanted_units_come_in_their_order_and_strangers_have_no_history(purchases):
    view = customer_view(purchases, AS_OF, units=["zoe", "bert"])
    assert view["unit"].tolist() == ["zoe", "bert"]
    assert view["n_baskets_182d"].tolist() == [0, 1]
    assert view["spend_28d_before"].tolist() == [0, 0]
    assert np.isnan(view["recency_days"][0])


def test_all_kinds_of_frames_and_dates_give_the_same_view(purchases, tmp_path):
    expected = customer_view(purchases, AS_OF)
    purchases.to_parquet(tmp_path / "purchases.parquet")
    naive = purchases.assign(occurred_at=purchases["occurred_at"].dt.tz_localize(None))
    sources = [pl.from_pandas(naive), tmp_path / "purchases.parquet", naive]
    dates = [dt.date(2017, 7, 1), pd.Timestamp(AS_OF), "2017-07-01T02:00:00+02:00"]
    for source, as_of in zip(sources, dates, strict=True):
        pd.testing.assert_frame_equal(customer_view(source, as_of), expected)


def test_the_purchases_given_are_not_modified(purchases):
    before = purchases.copy(deep=True)
    customer_view(purchases, AS_OF)
    pd.testing.assert_frame_equal(purchases, before)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"occurred_at": "2017-06-01"}, "TIME_INVALID"),
        ({"occurred_at": pd.NaT}, "PURCHASE_INCOMPLETE"),
        ({"amount": "12,50"}, "AMOUNT_NOT_NUMERIC"),
        ({"amount": np.inf}, "PURCHASE_INCOMPLETE"),
        ({"basket": None}, "PURCHASE_INCOMPLETE"),
        ({"unit": " anna"}, "ID_WHITESPACE"),
        ({"unit": None}, "ID_MISSING"),
    ],
)
def test_bad_purchases_are_refused(purchases, change, code):
    with pytest.raises(DataError) as refusal:
        customer_view(purchases.assign(**change), AS_OF)
    assert refusal.value.code == code


def test_a_missing_column_is_named(purchases):
    with pytest.raises(DataError, match="'discount' is missing") as refusal:
        customer_view(purchases.drop(columns="discount"), AS_OF)
    assert refusal.value.code == "COLUMN_MISSING"


def test_a_date_that_is_none_is_refused():
    with pytest.raises(DefinitionError, match="as_of must be a date"):
        utc_moment("summer")
