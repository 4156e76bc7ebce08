"""Rerandomisation: a draw is taken only when the declared covariates are alike in the arms.

    distance  M = sum over arms of n_arm * m_arm' S^-1 m_arm

with m_arm the mean in the arm of the covariates, centred within strata, and S their covariance
within strata, over all arms. With two arms it is the Mahalanobis distance of Morgan & Rubin,
(n_1 n_0 / n) (x_1 - x_0)' S^-1 (x_1 - x_0). In a large list M of a plain draw is chi-squared with
n_covariates * (n_arms - 1) degrees of freedom, so that a share `acceptance` of draws is accepted
below that quantile.

**Propensities.** Accepting some draws and not others changes how likely a unit is in an arm. With
equal shares, renaming the arms leaves M as it is, so each unit's propensity stays the designed
share. With unequal shares an unusual customer is a burden to a small arm:

    propensity = share * (1 + v / 2 * (n_arms - 1 / share) * (h - mean of h in the stratum))
    v          = 1 - P(chi2[df + 2] <= bound) / P(chi2[df] <= bound)
    h          = squared distance of the unit from its stratum's mean, by S, / n

to first order in h, from the mean and the variance that M's parts have given the unit's arm. In a
stratum they add up to exact shares. Simulation agrees while no customer moves an arm's mean alone;
where the formula moves a propensity by more than a quarter, it is counted (`n_unsure`), and by half
at most. The remedy is a covariate with a cap.

Clusters are drawn whole: their covariates are totals, and their size is one more.

Source: Morgan & Rubin (2012), "Rerandomization to Improve Covariate Balance in Experiments",
Annals of Statistics 40(2); for several arms their section 5.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from uplift.errors import DataError

NOTHING = 1e-9  # share of the largest variance below which a direction does not vary
FURTHEST = 0.5  # share of a propensity by which the formula may move it
UNSURE = 0.25  # share from which on the first order is not enough

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Balancer:
    """Judges draws of one list.

    whitened  (n_drawn, n_directions)  covariates with mean 0 in strata and covariance 1 within them
    stratum   (n_drawn,)               codes from 0
    bound     largest distance that is accepted
    df        degrees of freedom of the distance
    """

    whitened: Array = field(repr=False)
    stratum: IntArray = field(repr=False)
    n_arms: int
    bound: float
    df: int

    @classmethod
    def of(
        cls,
        covariates: Array,
        *,
        stratum: IntArray,
        n_arms: int,
        acceptance: float,
    ) -> "Balancer":
        """For draws of ids with these covariates, (n_drawn, n_covariates)."""
        whitened = _whitened(covariates, stratum)
        df = whitened.shape[1] * (n_arms - 1)
        bound = float(stats.chi2.ppf(acceptance, df)) if df else 0.0
        return cls(whitened, stratum, n_arms, bound, df)

    def distance(self, arm: IntArray) -> float:
        """M of a draw; arms (n_drawn,) by position. An arm that got nobody adds nothing."""
        counts = np.bincount(arm, minlength=self.n_arms)
        total = 0.0
        for column in self.whitened.T:
            sums = np.bincount(arm, weights=column, minlength=self.n_arms)
            total += float((sums**2 / np.maximum(counts, 1)).sum())
        return total

    def propensities(self, shares: Array) -> Array:
        """Probability of each arm among accepted draws. Returns (n_drawn, n_arms), rows sum to 1.

        shares  (n_arms,) designed
        """
        pull = self._pull(shares)
        return np.asarray(shares + pull[:, None] * (self.n_arms * shares - 1))

    def n_unsure(self, shares: Array) -> int:
        """How many ids are so unusual that their propensity is known roughly only."""
        moved = np.abs(self.propensities(shares) / shares - 1)
        return int((moved > UNSURE).any(axis=1).sum())

    def _pull(self, shares: Array) -> Array:
        """How much an arm's smallness weighs on each unit, within bounds. Returns (n_drawn,)."""
        n_drawn = len(self.whitened)
        if self.df == 0 or np.isinf(self.bound):
            return np.zeros(n_drawn)
        inside = [float(stats.chi2.cdf(self.bound, df)) for df in (self.df, self.df + 2)]
        v = 1 - inside[1] / inside[0]
        h = (self.whitened**2).sum(axis=1) / n_drawn
        pull = v / 2 * (h - _stratum_means(h[:, None], self.stratum)[:, 0])
        slope = np.abs(self.n_arms * shares - 1) / shares
        largest = FURTHEST / max(float(slope.max()), FURTHEST)
        return np.asarray(np.clip(pull, -largest, largest))


def covariates_of(facts: pd.DataFrame, names: Sequence[str]) -> Array:
    """Declared covariates as numbers. Returns (n_drawn, n_covariates).

    A missing value becomes the column's mean, and one more column says where it was missing.
    Errors: COLUMN_MISSING; BALANCE_COLUMN for text and for infinite values.
    """
    columns: list[Array] = []
    for name in names:
        values = _numbers(facts, name)
        missing = np.isnan(values)
        if missing.any():
            mean = values[~missing].mean() if not missing.all() else 0.0
            columns += [np.where(missing, mean, values), missing.astype(np.float64)]
        else:
            columns.append(values)
    return np.column_stack(columns)


def _numbers(facts: pd.DataFrame, name: str) -> Array:
    if name not in facts.columns:
        raise DataError(
            f"customers: the covariate {name!r} of the assignment's balance is missing. Add it, or "
            "change the definition.",
            code="COLUMN_MISSING",
            column=name,
        )
    column = facts[name]
    number = pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype)
    values = column.to_numpy(np.float64, na_value=np.nan) if number else np.empty(0)
    if not number or np.isinf(values).any():
        raise DataError(
            f"customers: the covariate {name!r} must hold finite numbers to be balanced, found "
            f"{column.dtype if not number else 'infinite values'}. Use a column of categories as "
            "a stratum.",
            code="BALANCE_COLUMN",
            column=name,
        )
    return values


def _whitened(covariates: Array, stratum: IntArray) -> Array:
    n_drawn = len(covariates)
    centred = covariates - covariates.mean(axis=0)
    scale = centred.std(axis=0)
    centred = centred[:, scale > 0] / scale[scale > 0]
    centred = centred - _stratum_means(centred, stratum)
    freedom = n_drawn - (int(stratum.max(initial=0)) + 1)
    if centred.shape[1] == 0 or freedom < 1:
        return np.zeros((n_drawn, 0))
    values, vectors = np.linalg.eigh(centred.T @ centred / freedom)
    kept = values > NOTHING * max(float(values[-1]), 1.0)
    return np.asarray(centred @ (vectors[:, kept] / np.sqrt(values[kept])))


def _stratum_means(columns: Array, stratum: IntArray) -> Array:
    """Each row's stratum mean. Returns the shape of `columns`."""
    counts = np.maximum(np.bincount(stratum), 1)
    means = [np.bincount(stratum, weights=column) / counts for column in columns.T]
    return np.column_stack(means)[stratum] if means else np.zeros_like(columns)
