"""A table read as `analyse` reads it, thousands of times: without joins, dates and looks.

Tables come lined up, so that `analyse`'s checks of ids are left out; the rest are its own
functions. `test_calibration_harness` compares the result with that of `analyse` on the same table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from uplift.analysis.columns import covariates_of
from uplift.analysis.decision import Decision, decide
from uplift.analysis.effects import EffectRow, effect_rows
from uplift.analysis.looks import LookRule
from uplift.analysis.money import Money, money_of
from uplift.analysis.prepared import Prepared
from uplift.experiment import Experiment, experiment_from
from uplift.strict_yaml import parse_yaml

TEXT = """
id: mailing
title: Mailing
kind: {kind}
owner: crm
objective: profit
hypothesis: It pays.
audience: {{description: Everyone}}
arms: [{arms}]
{cluster}
metrics:
  primary:
    metric: {{name: spend, version: 1, title: Spend, column: spend, unit: EUR, window_days: {days},
             owner: crm, kind: {kind_of_metric}{covariate}}}
    {planned}
  {others}
schedule: {{starts_at: 2017-07-03T08:00:00, timezone: Europe/Paris, response_days: {days}{ends}}}
analysis: {{decision_rule: Scale what is proven.{analysis}}}
money: {{currency: EUR, value: spend, margin_rate: 0.3}}
"""


def experiment_of(
    shares: Mapping[str, str],
    *,
    covariate: str = "",
    kind_of_metric: str = "mean",
    others: str = "no_guardrails_because: A simulation.",
    cluster: str = "",
    kind: str = "campaign_holdout",
    ends: str = "",
    days: int = 28,
    planned: str = "",
    analysis: str = "",
) -> Experiment:
    """A mailing of these arms, control first; shares as fractions, e.g. "1/3"."""
    return experiment_from(
        parse_yaml(
            TEXT.format(
                kind=kind,
                arms=", ".join(f"{{name: {arm}, share: {share}}}" for arm, share in shares.items()),
                cluster=cluster and f"cluster: {cluster}",
                kind_of_metric=kind_of_metric,
                covariate=covariate and f", covariate: {covariate}",
                others=others,
                ends=ends and f", ends_at: {ends}",
                days=days,
                planned=planned,
                analysis=analysis and f", {analysis}",
            )
        )
    )


@dataclass(frozen=True)
class Analysed:
    """What `analyse` reports of a table: its rows, its money and its decision."""

    effects: tuple[EffectRow, ...]
    money: Money
    decision: Decision

    def row(self, metric: str, treatment: str) -> EffectRow:
        return next(
            row
            for row in self.effects
            if row.metric == f"{metric}@1" and row.treatment == treatment
        )


def prepared(
    experiment: Experiment,
    outcomes: Mapping[str, np.ndarray],
    features: Mapping[str, np.ndarray] | None = None,
    *,
    cluster: np.ndarray | None = None,
) -> Prepared:
    """Outcome columns and covariates of units, in one order.

    outcomes, features  by column, (n_units,)
    cluster             (n_units,) codes from 0, of an experiment that draws clusters
    """
    table = pd.DataFrame(dict(outcomes)).astype(np.float64)
    known = pd.DataFrame(dict(features or {}), index=range(len(table)))
    adjusting, checks = covariates_of(experiment, known)
    # what is known before is tested for balance only: no row of the report reads it
    return Prepared(experiment, table, adjusting, {}, {}, cluster, tuple(checks))


def rows_of(
    source: Prepared, arm: np.ndarray, *, rule: LookRule | None = None
) -> tuple[EffectRow, ...]:
    """The rows of effects when unit i has arm `arm[i]`, (n_units,), 0 the control."""
    readings = source.read(arm)
    readings = readings if rule is None else replace(readings, rule=rule)
    return effect_rows(source.experiment, readings)


def analysed(source: Prepared, arm: np.ndarray) -> Analysed:
    """Rows, money and decision of one reading at the end."""
    readings = source.read(arm)
    effects = effect_rows(source.experiment, readings)
    money = money_of(source.experiment, readings)
    return Analysed(effects, money, decide(effects, money, (), open_until=None))
