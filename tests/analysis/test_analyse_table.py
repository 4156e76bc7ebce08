"""An analysis pushed down to a table says what the analysis of the rows says."""

from decimal import Decimal

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import psycopg
import pyarrow as pa
import pytest
from sqlalchemy import create_engine, make_url

import uplift as up
from tests.analysis.table_rows import RICH, assert_reports_agree, assert_same, make_rich, rows_of
from uplift.aggregate import PostgresTable, embedded
from uplift.analysis.pushed_down import analyse_table, analysis_sql
from uplift.errors import DataError, DefinitionError


def test_the_report_of_a_table_is_that_of_the_rows(make_campaign):
    campaign = make_rich(make_campaign)
    expected = campaign.analyse()
    found = analyse_table(campaign.experiment, rows_of(campaign), before=["tier"])
    assert_reports_agree(found, expected)
    methods = {row.method for row in found.effects}
    assert methods == {"post-stratified", "ratio", "score"}
    assert {row.by for row in found.segments} == {"tier", "region"}
    assert found.effect("spend@1", "email").uncapped is not None
    [left_out] = [check for check in found.checks if check.code == "NEEDS_ROWS"]
    assert "influence of the largest customers" in left_out.line


@pytest.mark.parametrize("gaps", [True, False])
def test_adjusted_means_and_ratios_are_those_of_the_rows(make_campaign, gaps):
    changes = [(old, new.replace("strata: [region], ", "")) for old, new in RICH]
    campaign = make_rich(make_campaign, changes=changes, gaps=gaps)
    found = analyse_table(campaign.experiment, rows_of(campaign), before=["tier"])
    assert_reports_agree(found, campaign.analyse())
    assert {"Lin", "ratio, adjusted"} <= {row.method for row in found.effects}
    assert ("COVARIATE_MISSING" in {check.code for check in found.checks}) == gaps


@pytest.mark.parametrize(
    "kind",
    ["polars", "lazy", "arrow", "relation", "connection", "parquet", "csv", "url", "engine", "URL"],
)
def test_every_kind_of_table_gives_the_effects_of_the_rows(make_campaign, kind, tmp_path, request):
    campaign = make_rich(make_campaign, n_units=2_000)
    data, where = rows_of(campaign), {}
    if kind in ("url", "engine", "URL"):
        url = request.getfixturevalue("postgres_url")
        store_in_postgres(url, data)
        where = {"name": "results"}
    connection = duckdb.connect()
    arrow = pa.Table.from_pandas(data, preserve_index=False)
    connection.register("rows", arrow)
    connection.execute("create schema shop; create table shop.results as select * from rows")
    if kind == "connection":
        where = {"name": "results", "schema": "shop"}
    if kind == "parquet":
        data.to_parquet(tmp_path / "t.parquet", row_group_size=300)
    if kind == "csv":
        data.to_csv(tmp_path / "t.csv", index=False)
    table = {
        "polars": lambda: pl.from_pandas(data),
        "lazy": lambda: pl.from_pandas(data).lazy(),
        "arrow": lambda: arrow,
        "relation": lambda: connection.table("shop.results"),
        "connection": lambda: connection,
        "parquet": lambda: str(tmp_path / "t.parquet"),
        "csv": lambda: tmp_path / "t.csv",
        "url": lambda: url,
        "URL": lambda: make_url(url.replace("postgresql:", "postgresql+psycopg:")),
        "engine": lambda: create_engine(url.replace("postgresql:", "postgresql+psycopg:")),
    }[kind]()
    found = up.analyse_table(campaign.experiment, table, before=["tier"], **where)
    assert_reports_agree(found, campaign.analyse())
    sql = up.analysis_sql(campaign.experiment, table, **where)
    assert sql.startswith("SELECT")
    if kind == "engine":
        table.dispose()


def store_in_postgres(url, data):
    types = {"i": "bigint", "f": "double precision", "b": "boolean"}
    columns = ", ".join(f'"{c}" {types.get(data[c].dtype.kind, "text")}' for c in data)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"create table results ({columns})")
        with connection.cursor() as cursor, cursor.copy("copy results from stdin") as copy:
            for row in data.astype(object).where(data.notna(), None).itertuples(index=False):
                copy.write_row(row)


def test_one_query_reads_the_table_and_it_can_be_shown(make_campaign, monkeypatch):
    campaign = make_rich(make_campaign, gaps=False)
    asked = []
    answer = embedded.EmbeddedPart.rows

    def rows(self, sql, *, n_keys):
        asked.append(sql)
        return answer(self, sql, n_keys=n_keys)

    monkeypatch.setattr(embedded.EmbeddedPart, "rows", rows)
    data = rows_of(campaign)
    analyse_table(campaign.experiment, data)
    assert len(asked) == 1
    assert analysis_sql(campaign.experiment, data) == asked[0]
    assert asked[0].count("FROM (SELECT") == 1
    columns = asked[0].split("FROM", 1)[0]
    assert columns.count("sum(x0)") == 1  # spend is a metric, a numerator and money: once each


def test_a_metric_that_one_unit_holds_is_cut_beside_as_in_the_rows(make_campaign):
    campaign = make_rich(make_campaign, changes=RICH[1:])
    campaign.outcomes.loc[5, "spend"] = 1e6
    found = analyse_table(campaign.experiment, rows_of(campaign), before=["tier"])
    expected = campaign.analyse()
    assert_reports_agree(found, expected)
    assert found.effect("spend@1", "email").winsorised is not None
    assert "OUTCOME_DOMINATED" in {check.code for check in found.checks}


UNUSUAL = {
    "one unit has anything": lambda c: c.outcomes.__setitem__(
        "spend", 5.0 * (c.outcomes.index == 7)
    ),
    "a spread of a few units at a billion": lambda c: c.outcomes.__setitem__(
        "spend", c.outcomes["spend"] + 1e9
    ),
    "both signs": lambda c: c.outcomes.__setitem__("spend", c.outcomes["spend"] - 14),
    "nobody spends": lambda c: c.outcomes.__setitem__("spend", 0.0),
    "a constant covariate": lambda c: c.customers.__setitem__("spend_before", 3.0),
    "no covariate is known": lambda c: c.customers.__setitem__("spend_before", np.nan),
}


@pytest.mark.parametrize("case", UNUSUAL)
def test_unusual_columns_are_read_as_in_the_rows(make_campaign, case):
    campaign = make_campaign(n_units=800, email=0.5)
    UNUSUAL[case](campaign)
    found = analyse_table(campaign.experiment, rows_of(campaign))
    assert_reports_agree(found, campaign.analyse())


def test_types_of_a_warehouse_are_read_as_in_the_rows(make_campaign):
    campaign = make_campaign(n_units=800, email=0.5)
    campaign.outcomes["spend"] = campaign.outcomes["spend"].round(2)
    data = rows_of(campaign)
    expected = campaign.analyse()
    with duckdb.connect() as connection:
        connection.execute(
            "create table results as select arm::ENUM('control', 'email', 'post', 'phone') as arm,"
            " spend::decimal(12, 2) as spend, bought::boolean as bought, redeemed::utinyint as "
            "redeemed, opted_out::float as opted_out, spend_before from data"
        )
        found = analyse_table(campaign.experiment, connection, name="results")
    assert_reports_agree(found, expected)
    objects = data.assign(
        arm=data["arm"].astype("category"),
        spend=[Decimal(str(value)) for value in data["spend"]],
        bought=data["bought"].astype(bool).astype(object),
    )
    assert_reports_agree(analyse_table(campaign.experiment, objects), expected)


def test_spend_that_few_have_is_split_and_skewness_corrected_as_in_the_rows(make_campaign):
    shares = [("share: 0.25}", "share: 0.05}"), ("email, share: 0.25", "email, share: 0.45")]
    campaign = make_campaign(n_units=8_000, changes=shares)
    rng = np.random.default_rng(8)
    n = len(campaign.assigned)
    campaign.assigned["arm"] = rng.choice(
        ["control", "email", "post", "phone"], n, p=[0.05, 0.45, 0.25, 0.25]
    )
    campaign.outcomes["spend"] = np.where(rng.random(n) < 0.03, rng.lognormal(3, 1.2, n), 0)
    found = analyse_table(campaign.experiment, rows_of(campaign))
    assert_reports_agree(found, campaign.analyse())
    assert "skewness corrected" in {row.method for row in found.effects}
    assert found.spend


def test_rare_events_and_money_that_differs_by_arm_are_read_as_in_the_rows(make_campaign):
    changes = [("post, share: 0.25, unit_cost: 0.9, redemption_cost: 2.0",
                "post, share: 0.25, unit_cost: 0.9, redemption_cost: 7.5")]  # fmt: skip
    campaign = make_campaign(n_units=1_200, changes=changes, optout={"phone": 0.0})
    found = analyse_table(campaign.experiment, rows_of(campaign))
    assert_reports_agree(found, campaign.analyse())
    assert "score" in {row.method for row in found.effects}


def test_no_redemption_no_covariate_and_waves(make_campaign):
    changes = [
        (", covariate: spend_before}", "}"),
        (", redemption: redeemed}", "}"),
        (
            "response_days: 28}",
            "response_days: 28, waves: [{name: first, starts_at: 2017-07-03T08:00:00}, "
            "{name: second, starts_at: 2017-07-10T08:00:00}]}",
        ),
    ]
    campaign = make_campaign(changes=changes)
    n = len(campaign.assigned)
    campaign.assigned["wave"] = np.where(np.arange(n) % 3 == 0, "second", "first")
    found = analyse_table(campaign.experiment, rows_of(campaign), before=["spend_before"])
    assert_reports_agree(found, campaign.analyse())
    assert len(found.waves) == 6


def test_a_quantile_is_undefined_and_still_counts_in_the_family(make_campaign):
    changes = [
        (
            "kind: proportion,\n               unit: share, window_days: 28, owner: crm}",
            "kind: quantile, quantile: 0.5,\n               unit: share, window_days: 28, "
            "owner: crm}",
        )
    ]
    campaign = make_campaign(changes=changes)
    found = analyse_table(campaign.experiment, rows_of(campaign))
    row = found.effect("buyer@1", "email")
    assert (row.method, row.verdict) == ("quantile", "no information")
    assert len(found.family) == 6
    assert any("only moments were read" in check.remedy for check in found.checks)
    assert_same(
        vars(found.effect("spend@1", "email").estimate),
        vars(campaign.analyse().effect("spend@1", "email").estimate),
    )


def test_looks_and_open_windows_follow_the_plan_as_in_the_rows(make_campaign):
    looks = [("analysis: {decision_rule", "analysis: {looks_days: [14, 28], decision_rule")]
    campaign = make_campaign(email=1.0, changes=looks)
    data = rows_of(campaign)
    first = analyse_table(campaign.experiment, data, as_of="2017-07-17T08:00:00")
    expected = campaign.analyse(as_of="2017-07-17T08:00:00")
    assert first.provisional
    assert_reports_agree(first, expected)
    last = analyse_table(
        campaign.experiment, data, as_of="2017-08-01T08:00:00", earlier=[first.look]
    )
    assert_reports_agree(
        last, campaign.analyse(as_of="2017-08-01T08:00:00", earlier=[expected.look])
    )


def test_a_missing_outcome_is_refused_or_0_as_told(make_campaign):
    campaign = make_campaign()
    campaign.outcomes.loc[[3, 8], "spend"] = np.nan
    data = rows_of(campaign)
    with pytest.raises(DataError, match=r"2 row.*missing='zero'") as caught:
        analyse_table(campaign.experiment, data)
    assert (caught.value.code, caught.value.count) == ("OUTCOME_MISSING", 2)
    found = analyse_table(campaign.experiment, data, missing="zero")
    assert_reports_agree(found, campaign.analyse(missing="zero"))


BAD = {
    "ARM_UNKNOWN": lambda d: d.assign(arm=d["arm"].where(d.index > 9, "Email")),
    "ARM_NULL": lambda d: d.assign(arm=d["arm"].where(d.index > 9)),
    "ARM_MISSING": lambda d: d[d["arm"] != "post"],
    "EMPTY_INPUT": lambda d: d.iloc[:0].astype({"arm": str}),
    "OUTCOME_NOT_BINARY": lambda d: d.assign(bought=d["bought"].where(d.index > 9, 2)),
    "OUTCOME_NOT_FINITE": lambda d: d.assign(spend=d["spend"].where(d.index > 9, np.inf)),
    "FEATURE_NOT_FINITE": lambda d: d.assign(
        spend_before=d["spend_before"].where(d.index > 9, np.inf)
    ),
    "FEATURE_NOT_FINITE with gaps": lambda d: d.assign(
        spend_before=d["spend_before"].where(d.index > 9, np.inf).where(d.index > 5)
    ),
    "OUTCOME_NOT_NUMERIC": lambda d: d.assign(spend="12,50"),
    "COVARIATE_NOT_NUMERIC": lambda d: d.assign(spend_before="many"),
    "OUTCOME_EQUALS_ARM": lambda d: d.assign(spend=np.where(d["arm"] == "control", 1.0, 2.0)),
    "COLUMN_MISSING": lambda d: d.drop(columns="redeemed"),
}


@pytest.mark.parametrize("code", BAD)
def test_a_table_that_cannot_be_read_is_refused_with_a_code(make_campaign, code):
    campaign = make_campaign(n_units=800)
    with pytest.raises(DataError) as caught:
        analyse_table(campaign.experiment, BAD[code](rows_of(campaign)))
    assert caught.value.code == code.split()[0]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("audience: {description: Everyone}", "audience: {description: Everyone}\n"
          "cluster: household"), "clusters"),
        (("response_days: 28}", "response_days: 28, waves: ["
          "{name: a, starts_at: 2017-07-03T08:00:00}, "
          "{name: b, starts_at: 2017-07-10T08:00:00, draw: redrawn}]}"), "waves are drawn anew"),
    ],
)  # fmt: skip
def test_what_needs_the_rows_is_refused_with_the_reason(make_campaign, change, why):
    campaign = make_campaign(n_units=400, changes=[change])
    with pytest.raises(DataError, match=why) as caught:
        analyse_table(campaign.experiment, rows_of(campaign))
    assert caught.value.code == "NEEDS_ROWS"


def test_a_connection_without_the_name_of_a_table_is_refused(make_campaign):
    campaign = make_campaign(n_units=400)
    with duckdb.connect() as connection:
        with pytest.raises(DefinitionError, match="which one") as caught:
            analyse_table(campaign.experiment, connection)
        assert caught.value.code == "ARGUMENT_INVALID"
        for url in ("postgresql://u:geheim@h/d", make_url("postgresql://u:geheim@h/d")):
            with pytest.raises(DefinitionError, match="which one") as caught:
                analyse_table(campaign.experiment, url)
            assert "geheim" not in str(caught.value)
        with pytest.raises(DefinitionError, match="missing must be") as caught:
            analyse_table(campaign.experiment, rows_of(campaign), missing="drop")
        assert caught.value.code == "ARGUMENT_INVALID"
        with pytest.raises(DataError, match="no table nothing"):
            analyse_table(campaign.experiment, connection, name="nothing")
    table = PostgresTable("postgresql://127.0.0.1:1/d", "t")
    with pytest.raises(DataError, match="cannot be reached"):
        analyse_table(campaign.experiment, table)


def test_a_wrong_factor_or_a_lost_covariance_would_be_seen(make_campaign, monkeypatch):
    """The comparison above fails when the money of the arms is mixed up."""
    campaign = make_campaign()
    expected = campaign.analyse()
    from uplift.analysis.table_plan import Term

    monkeypatch.setattr(Term, "of", lambda self, arm: 1.0)
    with pytest.raises(AssertionError):
        assert_reports_agree(analyse_table(campaign.experiment, rows_of(campaign)), expected)


def test_the_real_email_test_reads_alike(root, hillstrom_file):
    data = pd.read_csv(hillstrom_file)
    names = {"No E-Mail": "control", "Mens E-Mail": "mens_email", "Womens E-Mail": "womens_email"}
    data = data.assign(unit=[f"h{i}" for i in range(len(data))], arm=data["segment"].map(names))
    experiment = up.load_experiment(root / "experiments" / "hillstrom_email")
    outcomes = data[["unit", "visit", "conversion", "spend"]]
    expected = up.analyse(experiment, data[["unit", "arm"]], outcomes)
    found = up.analyse_table(experiment, data)
    assert_reports_agree(found, expected)
    assert (found.decision.action, found.decision.arm) == ("scale", "mens_email")
