"""What one query must collect so that an experiment can be read from moments alone.

Several readings are often one column of the table: a metric, its money, its profit. Each column is
collected once, and a reading is a collected column times a factor.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from uplift.aggregate import above, at_most, by_key, capped, combined, filled, is_missing, unlike
from uplift.aggregate.expressions import Expression, as_expression
from uplift.analysis.cells import ARM, STRATUM
from uplift.analysis.columns import (
    GROSS,
    REDEMPTION,
    VALUE,
    adjustments,
    base_of,
    bases_of,
    bought,
    covariate_column,
    missing_column,
    planned_covariates,
    uncapped,
    winsorised,
)
from uplift.analysis.waves import WAVE
from uplift.checks import Check
from uplift.errors import DataError, DefinitionError
from uplift.experiment import Experiment
from uplift.inference.regression_adjustment import covariances_for
from uplift.metrics import Metric

Kinds = Mapping[str, str | None]
MissingOutcome = Literal["refuse", "zero"]


@dataclass(frozen=True)
class Term:
    """A reading as what is collected: `factor` times the column; None is 0 for everybody.

    by_arm  the factor by arm, where arms differ in it
    """

    column: str | None
    factor: float = 1.0
    by_arm: Mapping[str, float] | None = None

    def of(self, arm: str) -> float:
        """The factor in an arm."""
        return self.factor if self.by_arm is None else self.by_arm[arm]


@dataclass(frozen=True, eq=False)
class TablePlan:
    """Everything that is read of a table with one row per unit.

    kinds    what numbers its columns hold; None where a column holds none
    missing  what an outcome that is not there means
    before   columns known before the send: covariates, and what balance is checked of
    gaps     by such a column: the mean that its gaps get, and the share of units with one
    caps     by metric key, where one unit holds most of it: the next largest magnitude
    """

    experiment: Experiment
    kinds: Kinds
    missing: MissingOutcome = "refuse"
    before: tuple[str, ...] = ()
    gaps: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    caps: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        experiment: Experiment,
        kinds: Kinds,
        *,
        missing: MissingOutcome,
        before: Collection[str] | None,
    ) -> "TablePlan":
        """The plan over a table of these columns.

        before  the covariates of the experiment when not given
        Errors: COLUMN_MISSING, COVARIATE_NOT_NUMERIC, OUTCOME_NOT_NUMERIC, ARGUMENT_INVALID.
        """
        if missing not in get_args(MissingOutcome):
            raise DefinitionError(
                f"missing must be one of {', '.join(get_args(MissingOutcome))}, got "
                f"{missing!r:.40}. Leave units out in a view of the table.",
                code="ARGUMENT_INVALID",
            )
        plan = cls(experiment, kinds, missing)
        planned = [
            name
            for metric in experiment.all_metrics
            for name in planned_covariates(experiment, metric, plan.known)
            if name in kinds and metric.kind != "quantile"
        ]
        for name in (*planned, *(before or ())):
            plan.require(name, code="COVARIATE_NOT_NUMERIC")
        for name in (*experiment.outcome_columns, ARM):
            plan.require(name, code=None if name == ARM else "OUTCOME_NOT_NUMERIC")
        return replace(plan, before=tuple(dict.fromkeys([*planned, *(before or ())])))

    def require(self, name: str, *, code: str | None = None) -> None:
        """Refuse a table without this column, or in which it holds no numbers (`code`)."""
        if name not in self.kinds:
            raise DataError(
                f"Column {name!r} is missing (found: {', '.join(list(self.kinds)[:12])}). Give a "
                "table or a view with one row per unit: its arm, outcomes and covariates.",
                code="COLUMN_MISSING",
                column=name,
            )
        if code is not None and self.kinds[name] is None:
            raise DataError(
                f"Column {name!r} must hold numbers. Write numbers with a decimal point and no "
                "currency sign.",
                code=code,
                column=name,
            )

    @property
    def known(self) -> dict[str, bool]:
        """Columns of the table, and whether they hold numbers."""
        return {name: kind is not None for name, kind in self.kinds.items()}

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics that moments can tell."""
        return tuple(m for m in self.experiment.all_metrics if m.kind != "quantile")

    @property
    def by(self) -> tuple[str, ...]:
        """Columns whose values make the cells."""
        plan, design = self.experiment.analysis, []
        if self.experiment.assignment.method == "stratified" and STRATUM in self.kinds:
            design.append(STRATUM)
        if len(self.experiment.schedule.windows) > 1 and WAVE in self.kinds:
            design.append(WAVE)
        for name in (*plan.strata, *plan.segments):
            self.require(name)
        return tuple(dict.fromkeys([ARM, *plan.strata, *plan.segments, *design]))

    def outcome(self, column: str) -> Expression:
        """An outcome column, its gaps as they are meant."""
        if self.missing == "zero":
            return filled(column, 0.0, name=column)
        return as_expression(column)

    def value_of(self, metric: Metric) -> Expression:
        """The metric of each unit, capped where its definition says so."""
        column = self.outcome(metric.column)
        return column if metric.cap is None else at_most(column, metric.cap)

    def expressions(self) -> list[Expression]:
        """What is collected: outcomes first, then what was known before."""
        found: dict[str, Expression] = {}
        for metric in self.metrics:
            found |= self._of_metric(metric)
        primary = self.experiment.primary
        if primary.kind == "mean":
            found[bought(primary.key)] = above(self.outcome(primary.column))
            negative = combined({self.outcome(primary.column): -1.0}, name="")
            found[below_zero(primary.key)] = above(negative)
        found |= self._of_money()
        for name in self.before:
            found[covariate_column(name)] = as_expression(name)
            if name in self.gaps:
                found[covariate_column(name)] = filled(name, self.gaps[name][0])
                found[missing_column(name)] = is_missing(name)
        return [replace(one, name=name) for name, one in found.items()]

    def terms(self, *, spends: bool = True) -> dict[str, Term]:
        """Every reading; `spends` tells whether the primary metric is spent by some and not all."""
        found: dict[str, Term] = {}
        for metric in self.metrics:
            found[metric.key] = Term(self.collected_name(metric))
            if metric.cap is not None:
                found[uncapped(metric.key)] = Term(metric.column)
            if metric.denominator is not None:
                found[base_of(metric.key)] = Term(metric.denominator)
            if metric.key in self.caps:
                found[winsorised(metric.key)] = Term(winsorised(metric.key))
        primary = self.experiment.primary
        if primary.kind == "mean" and spends:
            found[bought(primary.key)] = Term(bought(primary.key))
        found |= self._money_terms()
        found |= {f"before: {name}": Term(covariate_column(name)) for name in self.before}
        for name in self.before:
            found[covariate_column(name)] = Term(covariate_column(name))
            if name in self.gaps:
                found[missing_column(name)] = Term(missing_column(name))
        return found

    def adjusting(self) -> tuple[dict[str, tuple[str, ...]], list[Check]]:
        """By reading: the columns that adjust it; and what warns."""

        def share_missing(name: str) -> float:
            return self.gaps[name][1] if name in self.gaps else 0.0

        return adjustments(self.experiment, self.known, share_missing)

    def pairs(self, terms: Mapping[str, Term]) -> list[tuple[str, str]]:
        """The covariances that the estimates need, between readings."""
        bases = bases_of(self.experiment)
        pairs = [(key, base) for key, base in bases.items() if key in terms]
        for reading, covariates in self.adjusting()[0].items():
            if reading in terms:
                of_it = [reading, bases[reading]] if reading in bases else [reading]
                pairs += covariances_for(of_it, covariates)
        return pairs

    def skewed(self) -> list[str]:
        """Readings whose third moments the estimates need."""
        return [*(m.key for m in self.experiment.all_metrics if m.kind == "mean"), GROSS]

    def collected(self) -> dict[str, Any]:
        """The arguments of the aggregation."""
        terms = self.terms()
        places = {name: term.column for name, term in terms.items()}
        pairs = {(places[a], places[b]) for a, b in self.pairs(terms)}
        return {
            "by": self.by,
            "columns": self.expressions(),
            "covariances": sorted((a, b) for a, b in pairs if a and b and a != b),
            "skewed": sorted({place for name in self.skewed() if (place := places[name])}),
        }

    def _of_metric(self, metric: Metric) -> dict[str, Expression]:
        column = self.outcome(metric.column)
        found = {self.collected_name(metric): self.value_of(metric)}
        if metric.cap is not None:
            found[metric.column] = column
        if metric.denominator is not None:
            found[metric.denominator] = self.outcome(metric.denominator)
        if metric.key in self.caps:
            value, cap = self.value_of(metric), self.caps[metric.key]
            cut = capped(value, cap) if cap > 0 else combined({value: 0.0}, name="")
            found[winsorised(metric.key)] = cut
        if metric.kind == "proportion" and self.kinds[metric.column] != "truth":
            found[not_binary(metric.key)] = unlike(column, [0.0, 1.0])
        return found

    def collected_name(self, metric: Metric) -> str:
        """What the metric's values are called among what is collected."""
        return metric.column if metric.cap is None else f"{metric.column} at most {metric.cap:g}"

    def _of_money(self) -> dict[str, Expression]:
        economics, redeemed = self.experiment.economics, self._redemption()
        found = {economics.value_outcome: self.outcome(economics.value_outcome)}
        if redeemed is not None:
            column = self.outcome(redeemed)
            cost = by_key(column, ARM, economics.redemption_cost, name="cost")
            value = self.outcome(economics.value_outcome)
            found[redeemed] = column
            found[GROSS] = combined({value: economics.margin_rate, cost: -1.0}, name=GROSS)
        return found

    def _money_terms(self) -> dict[str, Term]:
        economics, redeemed = self.experiment.economics, self._redemption()
        value = Term(economics.value_outcome)
        if redeemed is None:
            gross = Term(economics.value_outcome, economics.margin_rate)
            return {VALUE: value, REDEMPTION: Term(None), GROSS: gross}
        names = self.experiment.arm_names
        costs = dict(zip(names, economics.redemption_costs(names).tolist(), strict=True))
        return {VALUE: value, REDEMPTION: Term(redeemed, by_arm=costs), GROSS: Term(GROSS)}

    def _redemption(self) -> str | None:
        """The column of redemptions, where they cost anything."""
        economics = self.experiment.economics
        return economics.redemption_outcome if any(economics.redemption_cost.values()) else None


def below_zero(key: str) -> str:
    """What is collected to see whether a metric is below 0 anywhere."""
    return f"{key} below 0"


def not_binary(key: str) -> str:
    """What is collected to see whether a proportion is anything but 0 and 1."""
    return f"{key} neither 0 nor 1"
