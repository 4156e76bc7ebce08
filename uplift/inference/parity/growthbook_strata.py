"""Post-stratification as GrowthBook (gbstats 0.8): estimates per cell, weighted by its size.

Per cell: the control's mean K and the effect E (for a ratio, those of numerator and denominator),
with their covariance times the cell's units. Cells are weighted by their share of all units, and
the shares are counted as drawn (multinomial). With columns from before, each cell has one
regression with one slope for both arms. Ours, with a slope per arm, is in `poststratification`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uplift.errors import DataError, DefinitionError
from uplift.inference.moments import Moments
from uplift.inference.parity.growthbook import (
    Difference,
    Effect,
    covariances,
    cuped_effect,
    cuped_ratio_effect,
    mean_effect,
    ratio_effect,
)

Array = npt.NDArray[np.float64]
Cell = tuple[Moments, Moments]  # treatment, control

FEWEST_UNITS = 7  # of a cell, both arms, for an adjusted ratio
RESIDUAL_DF = {1: 3, 2: 6}  # taken off the units of a cell, by number of columns of the metric


@dataclass(frozen=True, kw_only=True)
class Metric:
    """The columns of a stratified metric.

    columns      the outcome, or numerator and denominator of a ratio
    before       the same columns before the experiment, or none
    proportions  those that hold 0 and 1 only
    """

    columns: tuple[str, ...]
    before: tuple[str, ...] = ()
    proportions: Collection[str] = ()

    def __post_init__(self) -> None:
        if len(self.columns) not in RESIDUAL_DF or len(self.before) not in (0, len(self.columns)):
            raise DefinitionError(
                "A metric is one column or a numerator and a denominator, each with none or all "
                f"of its columns before; got {self.columns} and {self.before}.",
                code="COLUMN_MISSING",
            )


def poststratified_effect(
    cells: Sequence[Cell], metric: Metric, *, difference: Difference = "relative"
) -> Effect:
    """The effect over all cells.

        V = (1 / n) (A (diag(nu) - nu nu') A' + sum_k nu_k Omega_k),  nu_k = n_k / n

    A       columns alpha_k = (K, E) per metric column;  Omega_k = n_k cov(alpha_k)
    cells   (treatment, control) each; a cell where an arm does not vary (or, for an adjusted
            ratio, of fewer than 7 units) is put into the largest; with one left, the estimate is
            the plain one
    """
    kept = viable_cells(cells, metric)
    total = _plain_effect(
        _sum([t for t, _ in kept]), _sum([c for _, c in kept]), metric, difference
    )
    if len(kept) == 1:
        return total
    estimates = [_cell_estimate(t, c, metric) for t, c in kept]
    alphas = np.stack([alpha for alpha, _ in estimates], axis=1)
    units = np.array([t.count + c.count for t, c in kept])
    n, nu = float(units.sum()), units / units.sum()
    weights = alphas @ (np.diag(nu) - np.outer(nu, nu)) @ alphas.T / n
    covariance = weights + sum(
        share**2 * spread for share, (_, spread) in zip(nu, estimates, strict=True)
    )
    value, gradient, base = _combined(alphas @ nu, difference)
    return Effect(
        effect=value,
        std_error=float(np.sqrt(gradient @ covariance @ gradient)),
        df=total.df,
        n_units=n,
        control_mean=base,
        difference=difference,
    )


def viable_cells(cells: Sequence[Cell], metric: Metric) -> list[Cell]:
    """The cells from largest to smallest, those that cannot be estimated put into the first."""
    if not cells:
        raise DataError("There is no cell to read.", code="EMPTY_INPUT")
    ordered = sorted(cells, key=lambda cell: -(cell[0].count + cell[1].count))
    kept = [ordered[0]]
    for cell in ordered[1:]:
        if _viable(cell, metric):
            kept.append(cell)
        else:
            kept[0] = (kept[0][0] + cell[0], kept[0][1] + cell[1])
    return kept


def _viable(cell: Cell, metric: Metric) -> bool:
    if len(metric.before) == 2 and cell[0].count + cell[1].count < FEWEST_UNITS:
        return False
    return all(arm.count > 1 and _spread(arm, metric) > 0 for arm in cell)


def _spread(arm: Moments, metric: Metric) -> float:
    """Variance per unit of the outcome, or of the linearised ratio; 0 where there is no ratio."""
    means = [arm.mean_of(name) for name in metric.columns]
    if len(means) == 1:
        return arm.variance(metric.columns[0])
    if means[1] == 0:
        return 0.0
    gradient = np.array([1 / means[1], -means[0] / means[1] ** 2])
    return float(gradient @ covariances(arm, metric.columns, metric.proportions) @ gradient)


def _plain_effect(
    treatment: Moments, control: Moments, metric: Metric, difference: Difference
) -> Effect:
    """Without cells."""
    if len(metric.columns) == 1:
        (column,) = metric.columns
        if not metric.before:
            proportion = column in metric.proportions
            arms = {"column": column, "difference": difference, "proportion": proportion}
            return mean_effect(treatment, control, **arms)  # type: ignore[arg-type]
        return cuped_effect(
            treatment,
            control,
            column=column,
            covariate=metric.before[0],
            difference=difference,
            proportions=metric.proportions,
        )
    top, base = metric.columns
    if not metric.before:
        return ratio_effect(
            treatment,
            control,
            numerator=top,
            denominator=base,
            difference=difference,
            proportions=metric.proportions,
        )
    return cuped_ratio_effect(
        treatment,
        control,
        numerator=top,
        denominator=base,
        numerator_before=metric.before[0],
        denominator_before=metric.before[1],
        difference=difference,
        proportions=metric.proportions,
    )


def _cell_estimate(treatment: Moments, control: Moments, metric: Metric) -> tuple[Array, Array]:
    """(K, E) of each column of the metric, and their covariance. (2 n), (2 n, 2 n)."""
    arms = (treatment, control)
    before = metric.before
    if any(arm.variance(name) <= 0 for arm in arms for name in before):
        before = ()  # nothing varied before in this cell
    if before:
        return _regressed(treatment, control, metric.columns, before)
    spreads = [covariances(arm, metric.columns, metric.proportions) / arm.count for arm in arms]
    means = [np.array([arm.mean_of(name) for name in metric.columns]) for arm in arms]
    alpha = np.stack([means[1], means[0] - means[1]], axis=1).ravel()
    of_control = np.array([[1.0, -1.0], [-1.0, 1.0]])
    of_treatment = np.array([[0.0, 0.0], [0.0, 1.0]])
    return alpha, np.kron(spreads[0], of_treatment) + np.kron(spreads[1], of_control)


def _regressed(
    treatment: Moments, control: Moments, columns: tuple[str, ...], before: tuple[str, ...]
) -> tuple[Array, Array]:
    """By one regression on arm and columns before; K is at the cell's mean of the latter."""
    arms = (treatment, control)
    comoments = [arm.covariance_matrix((*columns, *before)) * (arm.count - 1) for arm in arms]
    within = comoments[0] + comoments[1]
    k, n = len(columns), treatment.count + control.count
    inverse = np.linalg.inv(within[k:, k:])
    slopes = inverse @ within[k:, :k]  # (n_before, n_columns)
    residual = (within[:k, :k] - slopes.T @ within[k:, :k]) / (n - RESIDUAL_DF[k])
    y_t, y_c = (np.array([arm.mean_of(name) for name in columns]) for arm in arms)
    x_t, x_c = (np.array([arm.mean_of(name) for name in before]) for arm in arms)
    middle = (treatment.count * x_t + control.count * x_c) / n
    away, apart = x_c - middle, x_t - x_c
    alpha = np.stack([y_c - away @ slopes, (y_t - y_c) - apart @ slopes], axis=1).ravel()
    leverage = np.array(
        [
            [
                1 / control.count + away @ inverse @ away,
                -1 / control.count + away @ inverse @ apart,
            ],
            [0.0, 1 / treatment.count + 1 / control.count + apart @ inverse @ apart],
        ]
    )
    leverage[1, 0] = leverage[0, 1]
    # the cell's mean before is itself estimated, and moves K
    spread = (treatment + control).covariance_matrix(before) / n
    moved = slopes.T @ spread @ slopes + residual * np.trace(inverse @ spread)
    return alpha, np.kron(residual, leverage) + np.kron(moved, np.array([[1.0, 0.0], [0.0, 0.0]]))


def _combined(alpha: Array, difference: Difference) -> tuple[float, Array, float]:
    """The effect of the weighted (K, E, ...), its gradient, and the control's value."""
    k, e = alpha[0], alpha[1]
    if len(alpha) == 2:
        if difference == "absolute":
            return float(e), np.array([0.0, 1.0]), float(k)
        size, sign = abs(k), np.sign(k)
        return float(e / size), np.array([-e * sign / k**2, 1 / size]), float(k)
    base_k, base_t = alpha[2], alpha[2] + alpha[3]
    r_c, r_t = k / base_k, (k + e) / base_t
    of_t = np.array([1 / base_t, 1 / base_t, -r_t / base_t, -r_t / base_t])
    of_c = np.array([1 / base_k, 0.0, -r_c / base_k, 0.0])
    if difference == "absolute":
        return float(r_t - r_c), of_t - of_c, float(r_c)
    size, sign = abs(r_c), np.sign(r_c)
    gradient = (of_t - of_c) / size - (r_t - r_c) * sign / r_c**2 * of_c
    return float((r_t - r_c) / size), gradient, float(r_c)


def _sum(parts: list[Moments]) -> Moments:
    first, *others = parts
    return sum(others, start=first)
