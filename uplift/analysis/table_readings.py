"""From the moments of a table to readings, as `read` makes them from rows."""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np

from uplift.aggregate import MomentsTable
from uplift.analysis.cells import ARM, NOT_KNOWN, STRATUM
from uplift.analysis.columns import bases_of, bought
from uplift.analysis.looks import LookRule
from uplift.analysis.readings import Readings
from uplift.analysis.table_plan import TablePlan, Term, below_zero
from uplift.analysis.waves import WAVE
from uplift.inference.moments import Moments, pairs_of, positions_of
from uplift.inference.quantiles import Quantile

NO_ROWS = "it needs the rows, and only moments were read"


def readings_of(
    plan: TablePlan, moments: MomentsTable, *, rule: LookRule, counts: Mapping[str, int]
) -> Readings:
    """Moments of every reading by arm, stratum, segment and wave.

    counts  units per arm
    """
    experiment = plan.experiment
    everyone = moments.collapse(()).cell()
    maker = _Maker.of(plan, spends=_spends(plan, everyone))
    arms = {key[ARM]: cell for key, cell in moments.collapse((ARM,)).cells()}
    by_arm = {arm: maker.reading(arms[arm], arm) for arm in experiment.arm_names}
    covariates, checks = plan.adjusting()
    strata = [*experiment.analysis.strata, *([STRATUM] if STRATUM in plan.by else [])]
    waves = maker.groups(moments, [WAVE]) if WAVE in plan.by else {}
    return Readings(
        moments=by_arm,
        strata=maker.groups(moments, strata) if strata else {},
        segments={name: maker.groups(moments, [name]) for name in experiment.analysis.segments},
        waves=waves if len(waves) > 1 else {},
        covariates=covariates,
        bases=bases_of(experiment),
        caps=plan.caps,
        assigned=counts,
        randomised=counts,
        analysed=counts,
        clustered=False,
        confidence=experiment.analysis.confidence,
        data_digest=moments.digest,
        checks=tuple(checks),
        rule=rule,
        thirds={
            name: {arm: cell.third(name) for arm, cell in by_arm.items()} for name in plan.skewed()
        },
        quantiles={
            metric.key: {arm: _no_quantile(metric.quantile, n) for arm, n in counts.items()}
            for metric in experiment.all_metrics
            if metric.quantile is not None
        },
        known_before=tuple(
            f"before: {name}" for name in plan.before if _varies(everyone, f"covariate {name}")
        ),
    )


class _Maker:
    """Turns moments of what was collected into those of the readings."""

    def __init__(self, terms: Mapping[str, Term], pairs: Any, skewed: tuple[int, ...]) -> None:
        self.terms, self.pairs, self.skewed = terms, pairs, skewed

    @classmethod
    def of(cls, plan: TablePlan, *, spends: bool) -> "_Maker":
        terms = plan.terms(spends=spends)
        pairs = pairs_of(tuple(terms), plan.pairs(terms))
        return cls(terms, pairs, positions_of(plan.skewed(), tuple(terms)))

    def reading(self, cell: Moments, arm: str) -> Moments:
        """The readings of one arm's cell: mean and co-moments of factor times column."""
        terms = list(self.terms.values())
        factor = np.array([0.0 if t.column is None else t.of(arm) for t in terms])
        place = [0 if t.column is None else cell.index(t.column) for t in terms]
        held = {pair: i for i, pair in enumerate(cell.pairs)}
        comoment = [
            factor[i] * factor[j] * cell.comoment[held[_ordered(place[i], place[j])]]
            if factor[i] and factor[j]
            else 0.0
            for i, j in self.pairs
        ]
        cubes = [factor[i] ** 3 * cell.cubes[cell.skewed.index(place[i])] for i in self.skewed]
        return Moments(
            tuple(self.terms),
            self.pairs,
            cell.count,
            factor * cell.mean[place],
            np.array(comoment, dtype=np.float64),
            factor * cell.rest[place],
            self.skewed,
            np.array(cubes, dtype=np.float64),
        )

    def groups(self, moments: MomentsTable, names: Sequence[str]) -> dict[str, dict[str, Moments]]:
        """Moments by the label of these columns together, and by arm."""
        found: dict[str, dict[str, list[Moments]]] = {}
        for key, cell in moments.collapse((*names, ARM)).cells():
            label, arm = " · ".join(_label(key[name]) for name in names), key[ARM]
            found.setdefault(label, {}).setdefault(arm, []).append(self.reading(cell, arm))
        return {
            label: {arm: reduce(Moments.__add__, cells) for arm, cells in found[label].items()}
            for label in sorted(found)
        }


def _ordered(i: int, j: int) -> tuple[int, int]:
    return (min(i, j), max(i, j))


def _label(value: Any) -> str:
    return NOT_KNOWN if value is None or value != value else str(value)


def _spends(plan: TablePlan, everyone: Moments) -> bool:
    """Whether the primary metric is 0 for who did not buy and above 0 for who did."""
    key = plan.experiment.primary.key
    if plan.experiment.primary.kind != "mean" or everyone.mean_of(below_zero(key)) > 0:
        return False
    return 0 < everyone.mean_of(bought(key)) < 1


def _varies(everyone: Moments, column: str) -> bool:
    return everyone.variance(column) > 0


def _no_quantile(level: float, n_units: int) -> Quantile:
    nan = float("nan")
    return Quantile(
        level=level,
        value=nan,
        lower=nan,
        upper=nan,
        std_error=nan,
        n_values=n_units,
        why_undefined=NO_ROWS,
    )
