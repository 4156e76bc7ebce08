import numpy as np
import pandas as pd
import polars as pl
import pytest

from uplift.checks import Check
from uplift.errors import DataError, StateError
from uplift.promotion import promote
from uplift.scoring import score
from uplift.tracking.store import connected

CHAMPION = "models:/to_score_with@champion"


@pytest.fixture(scope="module")
def promoted(log):
    run = log("to_score_with")
    promote(run)
    return run


@pytest.fixture(scope="module")
def scored(promoted, customers, store):
    return score(CHAMPION, customers, tracking=store)


def test_every_row_says_which_version_scored_it(scored, promoted, customers):
    assert scored.model_uri == "models:/to_score_with/1"  # the alias may move, this does not
    assert scored.customers["unit"].tolist() == customers["unit"].tolist()
    assert set(scored.customers["model_version"]) == {promoted.model_version}
    assert set(scored.customers["model_digest"]) == {promoted.model_digest}


def test_the_columns_are_as_documented(scored):
    arms = ["email", "post", "telephone"]
    figures = [
        f"{name}_{arm}"
        for name in ("effect", "effect_low", "effect_high", "profit")
        for arm in arms
    ]
    assert list(scored.customers.columns) == [
        "unit",
        "recommended_arm",
        "expected_profit",
        *figures,
        "model_version",
        "model_digest",
    ]


def test_the_trials_own_customers_score_the_expected_profit_of_the_recommended_arm(scored):
    table = scored.customers
    profit = table[["profit_email", "profit_post", "profit_telephone"]].to_numpy()
    assert set(table["recommended_arm"]) <= {"control", "email", "post", "telephone"}
    np.testing.assert_array_equal(table["expected_profit"], np.maximum(profit.max(axis=1), 0))
    is_control = (table["recommended_arm"] == "control").to_numpy()
    np.testing.assert_array_equal(is_control, (profit <= 0).all(axis=1))


def test_the_order_of_columns_and_rows_and_further_columns_change_no_bit(scored, customers, store):
    turned = customers[customers.columns[::-1]].assign(note="ignored").iloc[::-1]
    again = score(CHAMPION, turned, tracking=store).customers
    aligned = again.set_index("unit").loc[customers["unit"]].reset_index()
    pd.testing.assert_frame_equal(aligned, scored.customers, check_exact=True)


def test_any_kind_of_table_gives_the_same_scores(scored, customers, store, tmp_path):
    file = tmp_path / "customers.parquet"
    customers.to_parquet(file)
    for table in (pl.from_pandas(customers), file):
        again = score(CHAMPION, table, tracking=store).customers
        pd.testing.assert_frame_equal(again, scored.customers, check_exact=True)


def test_whole_numbers_and_categories_score_as_their_plain_forms(scored, customers, store):
    typed = customers.astype({"recency": "int16", "segment": "category"})
    again = score(CHAMPION, typed, tracking=store).customers
    pd.testing.assert_frame_equal(again, scored.customers, check_exact=True)


def test_no_customers_give_an_empty_table_of_the_same_types(scored, customers, store):
    empty = score(CHAMPION, customers.iloc[:0], tracking=store)
    assert len(empty.customers) == 0
    assert empty.customers.dtypes.equals(scored.customers.dtypes)
    assert "control" in empty.table().text()
    assert empty.metrics()["expected_profit"] == 0


def test_a_missing_column_is_named(customers, store, promoted):
    with pytest.raises(DataError, match="spend_before") as refusal:
        score(CHAMPION, customers.drop(columns="spend_before"), tracking=store)
    assert refusal.value.code == "FEATURE_MISSING"
    with pytest.raises(DataError, match="spend_before"):
        score(CHAMPION, customers.iloc[:0].drop(columns="spend_before"), tracking=store)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"recency": "ten"}, "FEATURE_DTYPE"),
        ({"segment": 7}, "FEATURE_DTYPE"),
        ({"recency": np.inf}, "FEATURE_NOT_FINITE"),
        ({"unit": "twice"}, "ID_DUPLICATE"),
        ({"unit": ""}, "ID_MISSING"),
    ],
)
def test_bad_customers_are_refused_with_their_code(customers, store, promoted, change, code):
    with pytest.raises(DataError) as refusal:
        score(CHAMPION, customers.assign(**change), tracking=store)
    assert refusal.value.code == code


def test_unseen_categories_are_scored_as_missing_and_reported_with_their_share(
    customers, store, promoted
):
    changed = customers.assign(segment=customers["segment"].where(customers.index >= 40, "bronze"))
    missing = customers.assign(segment=customers["segment"].where(customers.index >= 40))
    found = score(CHAMPION, changed, tracking=store)
    (check,) = found.checks
    assert (check.code, check.value, check.blocking) == ("CATEGORY_UNSEEN", 0.05, False)
    assert "segment" in str(found)
    expected = score(CHAMPION, missing, tracking=store)
    assert expected.checks == ()
    pd.testing.assert_frame_equal(found.customers, expected.customers, check_exact=True)


def test_a_changed_model_file_is_refused(log, customers, store):
    run = log("changed_after")
    (path,) = (store.folder / "artifacts" / "changed_after").rglob("model.json")
    path.write_text(path.read_text().replace("0", "1", 1))
    with pytest.raises(DataError, match="changed since it was registered") as refusal:
        score(run.model_uri, customers, tracking=store)
    assert refusal.value.code == "FILE_CHECKSUM"


def test_code_among_the_models_files_is_not_run(log, customers, store):
    run = log("code_in_artifact")
    (path,) = (store.folder / "artifacts" / "code_in_artifact").rglob("served_model.py")
    path.write_text("raise SystemExit('code of the artifact was run')")
    assert len(score(run.model_uri, customers, tracking=store).customers) == len(customers)


def test_a_model_registered_by_other_means_is_refused(log, customers, store):
    run = log("without_digest")
    with connected(store) as client:
        client.delete_model_version_tag("without_digest", "1", "uplift.model_digest")
    with pytest.raises(StateError, match="carries no digest") as refusal:
        score(run.model_uri, customers, tracking=store)
    assert refusal.value.code == "MODEL_UNVERIFIED"


def test_a_new_champion_scores_from_then_on(log, customers, store):
    first = log("new_champion")
    promote(first)
    before = score("models:/new_champion@champion", customers, tracking=store)
    promote(log("new_champion", Check("gain", True, value=0.9, bound=0.0)))
    after = score("models:/new_champion@champion", customers, tracking=store)
    assert (before.model_version, after.model_version) == (1, 2)
