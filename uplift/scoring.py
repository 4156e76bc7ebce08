"""Scoring: a registered model and customers → recommended arm, effects and expected profit.

The version is pinned when scoring starts and stands in every row. The model's files are compared
with the digest recorded at registration before they are parsed, and no code among them is run.
"""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from uplift.checks import Check
from uplift.frames import UNIT, read_frame, require_unique
from uplift.table import Column, Result, Table
from uplift.tracking.models import load_registered
from uplift.tracking.package import EXPECTED_PROFIT, RECOMMENDED, Package
from uplift.tracking.store import ModelVersion, Tracking, resolve


@dataclass(frozen=True, eq=False, repr=False)
class Scored(Result):
    """Customers with the arm that is expected to earn most, and what it is expected to earn.

    model_uri  the version that scored, never an alias
    arms       names, control first
    currency   of the profit columns
    customers  one row per unit: unit, recommended_arm, expected_profit, effect_<arm>,
               effect_low_<arm>, effect_high_<arm>, profit_<arm>, model_version, model_digest
    checks     warnings, e.g. CATEGORY_UNSEEN with the share of such rows
    """

    model_uri: str
    model_name: str
    model_version: int
    model_digest: str
    outcome: str
    currency: str
    arms: tuple[str, ...]
    customers: pd.DataFrame = field(repr=False)
    checks: tuple[Check, ...] = ()

    def to_pandas(self) -> pd.DataFrame:
        """The score table."""
        return self.customers

    def metrics(self) -> dict[str, float]:
        """Units per recommended arm and the profit expected of following the advice."""
        counts = self.customers[RECOMMENDED].value_counts()
        figures = {f"n_{arm}": float(counts.get(arm, 0)) for arm in self.arms}
        return figures | {EXPECTED_PROFIT: float(self.customers[EXPECTED_PROFIT].sum())}

    def table(self) -> Table:
        """Units and expected profit per recommended arm."""
        by_arm = self.customers.groupby(RECOMMENDED)[EXPECTED_PROFIT].agg(["size", "sum"])
        n_units = max(len(self.customers), 1)
        columns = (
            Column("recommended arm"),
            Column("units", kind="count"),
            Column("share", kind="share"),
            Column(f"expected profit, {self.currency}", kind="money"),
        )
        rows = [
            (arm, int(n), n / n_units, float(profit))
            for arm, n, profit in by_arm.reindex(list(self.arms), fill_value=0).itertuples()
        ]
        return Table(f"Scores by {self.model_uri}", columns, rows)


def score(model_uri: str, customers: Any, *, tracking: Tracking | None = None) -> Scored:
    """Score customers with a registered model, e.g. "models:/spring_voucher@champion".

    customers  one row per unit, with the features of training; their order and other columns do
               not matter; no rows give an empty table with its columns

    Raises DataError: MODEL_URI, MODEL_UNKNOWN, MODEL_FILES_MISSING, FILE_CHECKSUM, FEATURE_MISSING,
    FEATURE_DTYPE, FEATURE_NOT_FINITE, ID_DUPLICATE and what ids are refused for.
    """
    tracking = tracking or Tracking()
    version = resolve(model_uri, tracking)
    package = load_registered(version, tracking)
    table = read_frame(customers, what="customers")
    require_unique(table[UNIT], what="customers")
    return Scored(
        model_uri=version.uri,
        model_name=version.name,
        model_version=version.version,
        model_digest=version.digest,
        outcome=package.card.outcome,
        currency=str(package.rules.get("currency") or package.card.outcome),
        arms=package.card.arms,
        customers=score_table(package, version, table),
        checks=package.unseen(table),
    )


def score_table(package: Package, version: ModelVersion, customers: pd.DataFrame) -> pd.DataFrame:
    """Scores beside their unit and the version they come from, in the order of the customers."""
    scores = package.score(customers)
    scores.insert(0, UNIT, customers[UNIT].to_numpy())
    scores[UNIT] = scores[UNIT].astype("str")
    scores["model_version"] = pd.Series(version.version, index=scores.index, dtype="int64")
    scores["model_digest"] = pd.Series(version.digest, index=scores.index, dtype="str")
    return scores
