"""What a learner is given, checked once: outcome, treatment, propensities, weights, leaks."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.errors import DataError
from uplift.models.crossfit import Design, cluster_codes
from uplift.models.encoding import Encoder, feature_frame
from uplift.models.feature_rows import FeatureRows

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

LEAK_AUC = 0.99  # a feature that knows the arm this well was not known before assignment
LEAK_CORRELATION = 0.999  # a feature this close to the outcome was measured with it
MIN_ARM_FOR_LEAKS = 30  # below it a feature separates arms by chance
UNITS_PER_LEVEL = 50  # levels are averaged over at least so many units when leaks are looked for
MAX_UNITS_LOOKED_AT = 50_000  # a leak shows in any large part of the data


@dataclass(frozen=True, eq=False)
class Input:
    """What a learner learns from, checked.

    rows     features of n units
    outcome  (n_units,)
    """

    encoder: Encoder
    rows: FeatureRows
    design: Design
    outcome: Array

    @property
    def encoded(self) -> Array:
        """Features as one matrix, (n_units, n_features)."""
        return self.rows.numbers

    def taken(self, order: IntArray) -> "Input":
        """The same units in another order."""
        design = self.design
        moved = Design(
            arm=design.arm[order],
            propensity=design.propensity[order],
            weight=None if design.weight is None else design.weight[order],
            cluster=None if design.cluster is None else design.cluster[order],
        )
        return replace(self, rows=self.rows[order], design=moved, outcome=self.outcome[order])


def checked_input(
    X: Any, y: Any, treatment: Any, *, propensity: Any, sample_weight: Any, cluster: Any
) -> Input:
    """Everything `EffectModel.fit` is given; see there for what it may be, and what is refused."""
    frame = feature_frame(X)
    encoder = Encoder.fit(frame)
    rows = encoder.rows(frame)
    outcome = checked_outcome(y, n_units=len(rows))
    design = checked_design(
        treatment,
        n_units=len(rows),
        propensity=propensity,
        sample_weight=sample_weight,
        cluster=cluster,
    )
    refuse_leaks(encoder, rows, design, {"outcome": outcome})
    return Input(encoder, rows, design, outcome)


def checked_outcome(y: Any, *, n_units: int) -> Array:
    """The outcome as numbers, (n_units,); refused when missing, infinite or not numeric."""
    values = np.asarray(y)
    if values.dtype.kind not in "biuf":
        try:
            values = pd.Series(values).astype("float64").to_numpy()
        except (TypeError, ValueError):
            raise DataError(
                f"outcome: numbers are expected, found {values.flat[0]!r}.",
                code="OUTCOME_NOT_NUMERIC",
            ) from None
    outcome = np.asarray(values, dtype=np.float64).reshape(-1)
    _require_length(outcome, n_units, what="outcome")
    wrong = np.flatnonzero(~np.isfinite(outcome))
    if len(wrong):
        missing = np.isnan(outcome[wrong]).any()
        raise DataError(
            f"outcome: {len(wrong)} value(s) are missing or infinite, first in row "
            f"{wrong[0] + 1}. Decide what they mean before training.",
            code="OUTCOME_MISSING" if missing else "OUTCOME_NOT_FINITE",
            count=len(wrong),
            rows=[int(row) + 1 for row in wrong[:5]],
        )
    return outcome


def checked_design(
    treatment: Any, *, n_units: int, propensity: Any, sample_weight: Any, cluster: Any
) -> Design:
    """Arms, propensities, weights and clusters as a design.

    treatment   (n_units,)  0 is control, 1 … K are the treatments
    propensity  None: the observed shares; (n_units,): probability of treatment 1 of two arms;
                (n_units, n_arms): of every arm
    """
    arm = _checked_arm(treatment, n_units=n_units)
    weight = None if sample_weight is None else checked_weight(sample_weight, n_units=n_units)
    codes = cluster_codes(cluster)
    if codes is not None:
        _require_length(codes, n_units, what="cluster")
    n_arms = int(arm.max()) + 1
    if propensity is None:
        propensity = _observed_shares(arm, weight, n_arms=n_arms)
    return Design(arm, _checked_propensity(propensity, arm, n_arms=n_arms), weight, codes)


def checked_weight(sample_weight: Any, *, n_units: int) -> Array:
    """Weights, (n_units,): none negative or missing, not all zero."""
    weight = np.asarray(sample_weight, dtype=np.float64).reshape(-1)
    _require_length(weight, n_units, what="sample_weight")
    wrong = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))
    if len(wrong) or not weight.any():
        found = f"{weight[wrong[0]]} in row {wrong[0] + 1}" if len(wrong) else "only zeros"
        raise DataError(
            f"sample_weight: weights must be 0 or more and not all 0, found {found}. Repair them.",
            code="WEIGHT_INVALID",
            count=len(wrong) or len(weight),
            rows=[int(row) + 1 for row in wrong[:5]],
        )
    return weight


def refuse_leaks(encoder: Encoder, rows: FeatureRows, design: Design, outcomes: Any) -> None:
    """Refuse a feature that knows the arm (LEAK_TREATMENT) or an outcome (LEAK_OUTCOME).

    Missing values count as a value of their own; features of few values are also looked at by the
    share of each arm per value, so a recoded arm is found whatever its codes are.
    outcomes  by name, (n_units,)
    """
    step = -(-len(rows) // MAX_UNITS_LOOKED_AT)
    arm = design.arm[::step]
    for i, feature in enumerate(encoder.features):
        values = rows[::step, i]
        codes = _value_codes(values)
        auc = _arm_auc(codes, arm, n_arms=design.n_arms, ordered=feature.kind == "number")
        if auc > LEAK_AUC:
            raise DataError(
                f"features: {feature.name!r} tells the arms apart (AUC {auc:.4f}, at most "
                f"{LEAK_AUC} allowed). Remove it: what is known only after assignment is no "
                "feature.",
                code="LEAK_TREATMENT",
                column=feature.name,
            )
        for name, outcome in outcomes.items():
            if (
                _outcome_correlation(values, codes, outcome[::step], feature.kind)
                > LEAK_CORRELATION
            ):
                raise DataError(
                    f"features: {feature.name!r} equals the outcome {name!r} (correlation above "
                    f"{LEAK_CORRELATION}). Remove it: it was measured after assignment.",
                    code="LEAK_OUTCOME",
                    column=feature.name,
                )


def _checked_arm(treatment: Any, *, n_units: int) -> IntArray:
    values = np.asarray(treatment).reshape(-1)
    _require_length(values, n_units, what="treatment")
    if n_units == 0:
        raise DataError("treatment: there are no units to learn from.", code="EMPTY_INPUT")
    present = np.unique(values)
    if len(present) < 2:
        raise DataError(
            f"treatment: every unit has {present[0]}; an effect needs units with and without "
            "treatment. Check how the arms were joined.",
            code="TREATMENT_CONSTANT",
            count=n_units,
        )
    if values.dtype.kind not in "biuf" or not np.array_equal(present, np.arange(len(present))):
        raise DataError(
            f"treatment: arms must be coded 0 (control), 1, 2, …; found {present[:5].tolist()}.",
            code="TREATMENT_CODES",
        )
    return values.astype(np.int64)


def _observed_shares(arm: IntArray, weight: Array | None, *, n_arms: int) -> Array:
    """Each arm's share of the weight, for every unit, (n_units, n_arms)."""
    mass = np.bincount(arm, weights=weight, minlength=n_arms).astype(np.float64)
    return np.broadcast_to(mass / mass.sum(), (len(arm), n_arms))


def _checked_propensity(propensity: Any, arm: IntArray, *, n_arms: int) -> Array:
    given = np.asarray(propensity, dtype=np.float64)
    if given.ndim <= 1 and n_arms == 2:
        treated = np.broadcast_to(given, (len(arm),))
        given = np.column_stack([1 - treated, treated])
    if given.shape != (len(arm), n_arms):
        raise DataError(
            f"propensity: one number per unit and arm is expected, shape ({len(arm)}, {n_arms}); "
            f"got {np.shape(propensity)}.",
            code="LENGTH_MISMATCH",
        )
    outside = ~((given > 0) & (given < 1)).all(axis=1)
    if outside.any():
        raise DataError(
            f"propensity: {int(outside.sum())} unit(s) are not inside (0, 1) (smallest "
            f"{np.nanmin(given):g}, largest {np.nanmax(given):g}). Leave out units that could get "
            "only one arm.",
            code="PROPENSITY_BOUND",
            count=int(outside.sum()),
        )
    if not np.allclose(given.sum(axis=1), 1, rtol=0, atol=1e-9):
        raise DataError("propensity: each row must add up to 1.", code="PROPENSITY_SUM")
    return given


def _arm_auc(codes: IntArray, arm: IntArray, *, n_arms: int, ordered: bool) -> float:
    """Largest area under the curve of one feature against any arm, in [0.5, 1].

    codes  (n_rows,) of `_value_codes`
    """
    largest = 0.5
    counts = np.bincount(codes)
    for k in range(1 if n_arms == 2 else 0, n_arms):  # of two arms one mirrors the other
        inside = np.bincount(codes[arm == k], minlength=len(counts))
        outside = counts - inside
        if min(inside.sum(), outside.sum()) < MIN_ARM_FOR_LEAKS:
            continue
        if ordered:
            auc = _auc(inside, outside)
            largest = max(largest, auc, 1 - auc)
        if _are_few(counts):
            order = np.argsort(inside / counts, kind="stable")
            largest = max(largest, _auc(inside[order], outside[order]))
    return largest


def _auc(inside: IntArray, outside: IntArray) -> float:
    """Area under the curve from counts per value, lowest value first."""
    below = np.cumsum(outside) - outside
    wins = float((inside * (below + outside / 2)).sum())
    return wins / (float(inside.sum()) * float(outside.sum()))


def _outcome_correlation(values: Array, codes: IntArray, outcome: Array, kind: str) -> float:
    found = [_correlation(values, outcome)] if kind == "number" else []
    counts = np.bincount(codes)
    if _are_few(counts):
        mean = np.bincount(codes, weights=outcome) / counts
        found.append(_correlation(mean[codes], outcome))
    return max(found, default=0.0)


def _correlation(x: Array, y: Array) -> float:
    """Absolute correlation over the rows where both are there; 0 when one does not vary."""
    known = ~np.isnan(x)
    if known.sum() < MIN_ARM_FOR_LEAKS:
        return 0.0
    a, b = x[known] - x[known].mean(), y[known] - y[known].mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return abs(float(a @ b)) / norm if norm > 0 else 0.0


def _value_codes(values: Array) -> IntArray:
    """Place of each value among the distinct ones, (n_rows,); missing is a value, the lowest."""
    known = values[~np.isnan(values)]
    lowest = known.min() - 1 if len(known) else 0.0
    filled = np.where(np.isnan(values), lowest, values)
    return np.unique(filled, return_inverse=True)[1].astype(np.int64)


def _are_few(counts: IntArray) -> bool:
    """Whether values have enough units on average to be looked at one by one."""
    return len(counts) * UNITS_PER_LEVEL <= int(counts.sum())


def _require_length(values: npt.NDArray[Any], n_units: int, *, what: str) -> None:
    if len(values) != n_units:
        raise DataError(
            f"{what}: one value per unit is expected, {n_units}; got {len(values)}.",
            code="LENGTH_MISMATCH",
        )
