"""Single customer view: purchases before a date become one row of features per unit.

Nothing at or after `as_of` is ever read, so a feature can never hold what it should predict.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from uplift.errors import DataError, DefinitionError
from uplift.frames import UNIT, arrow_table, clean_units, read_frame, require_unique

CATEGORY = "category"
CATEGORY_FEATURES = ("n_categories_182d", "top_category_share_182d")
AMOUNTS = ("amount", "discount")
REQUIRED = ("occurred_at", "basket", *AMOUNTS)
ZERO_WITHOUT_PURCHASE = (  # what is 0, not unknown, for a unit that never bought
    "n_baskets_28d",
    "n_baskets_91d",
    "n_baskets_182d",
    "n_active_weeks_182d",
    "spend_28d_before",
    "spend_91d_before",
    "spend_182d_before",
    "spend_change_28d",
    "n_categories_182d",
)

QUERY = """
with
lines as (
    select unit, basket, occurred_at, amount, discount, category,
           date_diff('microsecond', occurred_at, $as_of) / 86400e6 as days_before
    from purchases
    where occurred_at < $as_of
),
baskets as (
    select unit, basket, max(days_before) as days_before, sum(amount) as amount,
           sum(discount) as discount
    from lines
    group by unit, basket
),
features as (
    select unit,
        min(days_before) as recency_days,
        max(days_before) as tenure_days,
        count(*) filter (days_before <= 28)::double as n_baskets_28d,
        count(*) filter (days_before <= 91)::double as n_baskets_91d,
        count(*) filter (days_before <= 182)::double as n_baskets_182d,
        count(distinct ceil(days_before / 7)) filter (days_before <= 182)::double
            as n_active_weeks_182d,
        coalesce(sum(amount) filter (days_before <= 28), 0) as spend_28d_before,
        coalesce(sum(amount) filter (days_before <= 91), 0) as spend_91d_before,
        coalesce(sum(amount) filter (days_before <= 182), 0) as spend_182d_before,
        coalesce(sum(amount) filter (days_before <= 28), 0)
            - coalesce(sum(amount) filter (days_before > 28 and days_before <= 56), 0)
            as spend_change_28d,
        avg(amount) filter (days_before <= 182) as basket_mean_182d,
        max(amount) filter (days_before <= 182) as basket_max_182d,
        (max(days_before) filter (days_before <= 182) - min(days_before))
            / nullif(count(*) filter (days_before <= 182) - 1, 0) as days_between_baskets,
        sum(discount) filter (days_before <= 182)
            / nullif(sum(amount + discount) filter (days_before <= 182), 0)
            as discount_share_182d,
        avg((discount > 0)::double) filter (days_before <= 182) as discount_basket_share_182d
    from baskets
    group by unit
),
categories as (
    select unit, count(*)::double as n_categories_182d,
           max(amount) / nullif(sum(amount), 0) as top_category_share_182d
    from (
        select unit, category, sum(amount) as amount
        from lines
        where days_before <= 182 and category is not null
        group by unit, category
    )
    group by unit
)
select * from features left join categories using (unit) order by unit
"""


def customer_view(
    purchases: Any, as_of: str | date | datetime, *, units: Sequence[str] | None = None
) -> pd.DataFrame:
    """One row per unit with at least one purchase before `as_of`, sorted by unit.

    purchases  lines with unit, occurred_at (UTC), basket, amount, discount (what the amount was
               reduced by, 0 or more) and, if known, category; amounts in one currency
    as_of      a moment in UTC; text and dates mean midnight
    units      the rows wanted, in this order; one without a purchase has counts and spend 0 and
               the other features missing

    Returns `unit`, `as_of` and float features; a suffix such as `_182d` is the window before
    `as_of` in days:

        recency_days, tenure_days        days since the last and the first basket
        n_baskets_*, n_active_weeks_*    baskets, and weeks (counted back) with a basket
        spend_*_before                   sum of amounts
        spend_change_28d                 spend of the last 28 days less that of the 28 before
        basket_mean_*, basket_max_*      amount per basket
        days_between_baskets             mean gap in the half year; missing below two baskets
        discount_share_*                 discount / (amount + discount)
        discount_basket_share_*          share of baskets with a discount
        n_categories_*, top_category_share_*  only when purchases have a category
    """
    moment = utc_moment(as_of)
    lines = _checked_purchases(purchases)
    view = _query(lines, moment)
    if units is not None:
        view = _only(view, units)
    view.insert(1, "as_of", pd.Timestamp(moment).as_unit("us"))
    return view


def utc_moment(value: str | date | datetime) -> datetime:
    """A date, a time or ISO text as a moment in UTC; without a zone it is taken as UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise DefinitionError(
                f"as_of must be a date or a time such as 2017-07-01, got {value!r}.",
                code="TIME_INVALID",
            ) from None
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def _checked_purchases(purchases: Any) -> pd.DataFrame:
    frame = read_frame(purchases, what="purchases", require=REQUIRED)
    names = [UNIT, *REQUIRED, *([CATEGORY] if CATEGORY in frame.columns else [])]
    frame = frame[names].copy()
    _require_kind(frame["occurred_at"], pd.api.types.is_datetime64_any_dtype)
    for name in AMOUNTS:
        _require_kind(frame[name], pd.api.types.is_numeric_dtype)
        frame[name] = frame[name].astype("float64")
    for name in REQUIRED:
        _refuse_missing(frame[name], name)
    utc = pd.to_datetime(frame["occurred_at"], utc=True)
    frame["occurred_at"] = utc.dt.tz_localize(None).astype("datetime64[us]")
    frame["basket"] = clean_units(frame["basket"], column="basket", what="purchases")
    return frame


def _require_kind(column: pd.Series, is_kind: Callable[[Any], bool]) -> None:
    """Refuse text where times or numbers belong: a locale is never guessed."""
    if is_kind(column.dtype):
        return
    amount = column.name in AMOUNTS
    remedy = (
        "numbers: write them with a decimal point and no currency sign"
        if amount
        else "times: parse them first, e.g. with pandas.to_datetime"
    )
    raise DataError(
        f"purchases: column {column.name!r} holds {column.dtype}, and must hold {remedy}.",
        code="AMOUNT_NOT_NUMERIC" if amount else "TIME_INVALID",
        column=str(column.name),
    )


def _refuse_missing(column: pd.Series, name: str) -> None:
    missing = column.isna().to_numpy()
    if name in AMOUNTS:
        missing = ~np.isfinite(column.to_numpy(np.float64))
    rows = np.flatnonzero(missing)
    if len(rows):
        raise DataError(
            f"purchases: column {name!r} is missing or not finite in {len(rows)} row(s), first in "
            f"row {rows[0] + 1}. Repair or remove those rows.",
            code="PURCHASE_INCOMPLETE",
            column=name,
            count=len(rows),
            rows=[int(row) + 1 for row in rows[:5]],
        )


def _query(lines: pd.DataFrame, as_of: datetime) -> pd.DataFrame:
    """Run the one query; on one thread, so that sums do not depend on the machine."""
    with_category = CATEGORY in lines.columns
    if not with_category:
        lines = lines.assign(category=pd.Series(pd.NA, index=lines.index, dtype="str"))
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("purchases", arrow_table(lines))
        found = connection.sql(QUERY, params={"as_of": as_of.replace(tzinfo=None)})
        view: pd.DataFrame = found.to_arrow_table().to_pandas()
    if not with_category:
        return view.drop(columns=list(CATEGORY_FEATURES))
    return view.fillna({"n_categories_182d": 0.0})


def _only(view: pd.DataFrame, units: Sequence[str]) -> pd.DataFrame:
    wanted = clean_units(pd.Series(list(units)), what="units")
    require_unique(wanted, what="units")
    chosen = wanted.to_frame().merge(view, on=UNIT, how="left", validate="one_to_one")
    for name in ZERO_WITHOUT_PURCHASE:
        if name in chosen.columns:
            chosen[name] = chosen[name].fillna(0.0)
    return chosen
