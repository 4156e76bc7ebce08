"""How effects differ along chosen features, as one line per feature that anybody can check."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.errors import DataError
from uplift.evaluation.evidence import gather
from uplift.inference.linear_projection import linear_projection
from uplift.models.encoding import Encoder, Feature
from uplift.suite import Suite
from uplift.table import Column, Result, Table
from uplift.trial import Trial

Array = npt.NDArray[np.float64]

AVERAGE = "average customer"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Slope:
    """By how much an effect changes with a term, everything else in the projection equal.

    term  a number ("recency": per unit of it), a level ("channel = web": against the most frequent
          level), or that a number is unknown
    """

    treatment: str
    term: str
    value: float
    std_error: float
    ci: tuple[float, float]
    p_value: float


@dataclass(frozen=True, repr=False)
class Projection(Result):
    """Best linear projection of the effects; the first slope is the effect on the average customer.

    outcome  in whose unit slopes are
    errors   HC3, or by cluster
    """

    outcome: str
    errors: str
    n_units: int
    slopes: tuple[Slope, ...]

    def table(self) -> Table:
        """A row per treatment and term."""
        columns = [
            Column("treatment"),
            Column("term"),
            Column("change of effect", kind="signed"),
            Column("std error", kind="number"),
            Column("ci", kind="interval"),
            Column("p value", kind="p_value"),
        ]
        rows = [(s.treatment, s.term, s.value, s.std_error, s.ci, s.p_value) for s in self.slopes]
        note = (
            f"Outcome {self.outcome}, {self.n_units} units, errors: {self.errors}. Least squares "
            "of the doubly robust scores; p values are of one term each, not of all together."
        )
        return Table("Best linear projection of the effect", columns, rows, note=note)


def best_linear_projection(
    suite: Suite,
    trial: Trial,
    features: Sequence[str] | None = None,
    *,
    confidence: float = 0.95,
) -> Projection:
    """Least squares of the doubly robust scores on features, per treatment.

    features  names; None takes all inputs. Numbers enter as they are, less their mean; a missing
              number is the mean, and is a term of its own. Levels are compared with the most
              frequent one

    Errors are robust (HC3), and by cluster when clusters were randomised. Refused: FEATURE_MISSING,
    PROJECTION_COLLINEAR, PROJECTION_TOO_SMALL, and what `gather` refuses.
    Source: Semenova & Chernozhukov (2021), The Econometrics Journal 24(2).
    """
    evidence = gather(suite, trial)
    place = pd.Index(trial.units).get_indexer(pd.Index(suite.units))
    frame = _chosen(trial.features.iloc[place], features)
    names, columns = terms_of(frame, weight=evidence.weight)
    slopes = []
    for k, treatment in enumerate(evidence.arms[1:]):
        fit = linear_projection(
            evidence.scores[:, k],
            columns,
            weight=evidence.weight,
            cluster=evidence.cluster,
            confidence=confidence,
        )
        figures = (fit.value, fit.std_error, fit.low, fit.high, fit.p_value)
        for name, value, error, low, high, p in zip(names, *figures, strict=True):
            ci = (float(low), float(high))
            slopes.append(Slope(treatment, name, float(value), float(error), ci, float(p)))
    errors = "robust (HC3)" if evidence.cluster is None else "robust, by cluster"
    return Projection(evidence.outcome, errors, evidence.n_units, tuple(slopes))


def terms_of(frame: pd.DataFrame, *, weight: Array | None = None) -> tuple[list[str], Array]:
    """Names and columns of a projection on a table, (n_units, n_terms), ones first."""
    encoder = Encoder.fit(frame)
    matrix = encoder.encode(frame)
    names, columns = [AVERAGE], [np.ones(len(matrix))]
    for i, feature in enumerate(encoder.features):
        for name, column in _terms(feature, matrix[:, i]):
            names.append(name)
            columns.append(column - np.average(column, weights=weight))
    return names, np.column_stack(columns)


def _terms(feature: Feature, values: Array) -> list[tuple[str, Array]]:
    missing = np.isnan(values)
    terms: list[tuple[str, Array]] = []
    if feature.kind == "number":
        if not (values[~missing] == values[~missing][0]).all():
            terms.append((feature.name, np.where(missing, values[~missing].mean(), values)))
    else:
        counts = np.bincount(values[~missing].astype(np.int64), minlength=len(feature.levels))
        for code, level in enumerate(feature.levels):
            if code != counts.argmax():
                terms.append((f"{feature.name} = {level}", (values == code).astype(np.float64)))
    if missing.any():
        terms.append((f"{feature.name} {UNKNOWN}", missing.astype(np.float64)))
    return terms


def _chosen(features: pd.DataFrame, names: Sequence[str] | None) -> pd.DataFrame:
    if names is None:
        return features
    unknown = [name for name in names if name not in features.columns]
    if unknown:
        raise DataError(
            f"There is no feature {unknown[0]!r} in the trial. Choose among "
            f"{', '.join(map(str, features.columns))}.",
            code="FEATURE_MISSING",
            column=unknown[0],
            count=len(unknown),
        )
    return pd.DataFrame(features[list(names)])
