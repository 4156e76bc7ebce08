"""Long-term effect read early: from short-term outcomes that carry it (surrogate index).

Historical customers, watched long enough, say what a customer's short-term outcomes are worth in
the long run. The effect on that worth is the long-term effect if two things hold, and is not
otherwise:

- surrogacy: the campaign changes the long-term outcome through the surrogates only;
- comparability: the surrogates are worth to the customers of the test what they were worth then.

Neither can be read from the short term. `direct_effect` tests both together once the long term of
some earlier test is known.
Source: Athey, Chetty, Imbens & Kang (2019), "The Surrogate Index", NBER 26463.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from uplift.checks import Check
from uplift.errors import DataError
from uplift.inference.means import ArmMean, Estimate, contrast, require_two
from uplift.inference.moments import Moments
from uplift.table import Column, Result, Table

Array = npt.NDArray[np.float64]

N_FOLDS = 5
DIRECT_P_VALUE = 0.01  # below, the surrogates miss a way in which the campaign works
ASSUMPTION = (
    "Holds if the campaign works through the surrogates only, and if they are worth to these "
    "customers what they were worth to the earlier ones."
)


@dataclass(frozen=True, eq=False)
class SurrogateIndex:
    """What short-term outcomes are worth in the long run: level + slope' (surrogates - centre).

    centre      (n_surrogates,)  means of the historical units
    slope       (n_surrogates,)
    covariance  (1 + n_surrogates,) squared, of level and slope; robust to unequal noise (HC3)
    r_squared   share of the long-term variance that the index explains in units it was not fitted
                on; can be below 0
    """

    surrogates: tuple[str, ...]
    centre: Array
    level: float
    slope: Array
    covariance: Array = field(repr=False)
    r_squared: float
    n_units: int

    @property
    def df(self) -> int:
        """Degrees of freedom of the fit."""
        return self.n_units - 1 - len(self.surrogates)

    def predict(self, surrogates: Any) -> Array:
        """Expected long-term outcome. Surrogates (n_units, n_surrogates), returns (n_units,)."""
        return self.level + (np.asarray(surrogates, np.float64) - self.centre) @ self.slope


@dataclass(frozen=True, repr=False)
class SurrogateEffect(Result):
    """The expected long-term effect.

    estimate        with both sources of error in its interval
    sampling_error  standard error from the units of the test alone
    index_error     and from the index, which is known from a sample of history only
    r_squared       of the index, out of sample
    """

    estimate: Estimate
    sampling_error: float
    index_error: float
    r_squared: float

    def table(self) -> Table:
        """The effect and what its error is made of."""
        columns = (
            Column("expected long-term effect", kind="signed"),
            Column("ci", kind="interval"),
            Column("p value", kind="p_value"),
            Column("error of the test", kind="number"),
            Column("error of the index", kind="number"),
            Column("explained", kind="share"),
        )
        found = self.estimate
        row = (
            found.effect,
            found.ci,
            found.p_value,
            self.sampling_error,
            self.index_error,
            self.r_squared,
        )
        return Table("Surrogate index", columns, [row], note=ASSUMPTION)


def fit_index(
    surrogates: Any,
    outcome: Any,
    *,
    names: Sequence[str],
    n_folds: int = N_FOLDS,
    seed: int = 0,
) -> SurrogateIndex:
    """Least squares of the long-term outcome on the surrogates of historical units.

    The units must not be those of the test. Covariates known before may be among the surrogates.

    surrogates  (n_units, n_surrogates)
    outcome     (n_units,)  long-term, in its unit
    names       of the surrogates, as the test's moments name them
    seed        of the folds that `r_squared` is computed on
    """
    x = np.atleast_2d(np.asarray(surrogates, dtype=np.float64))
    y = np.asarray(outcome, dtype=np.float64)
    if x.shape != (len(y), len(names)):
        raise DataError(
            f"There must be a row per outcome and a column per name; got {x.shape} surrogates for "
            f"{len(y)} outcomes and {len(names)} names.",
            code="COLUMN_MISSING",
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError(
            "Surrogates and outcomes of history must be finite numbers. Leave out units whose long "
            "term is not known yet.",
            code="OUTCOME_MISSING",
        )
    if len(y) < 3 * (len(names) + 1):
        raise DataError(
            f"{len(y)} historical units are too few for {len(names)} surrogate(s). "
            "Take more history or fewer surrogates.",
            code="ARM_TOO_SMALL",
            count=len(y),
        )
    centre = x.mean(axis=0)
    coefficients, covariance = _least_squares(x - centre, y)
    return SurrogateIndex(
        surrogates=tuple(names),
        centre=centre,
        level=float(coefficients[0]),
        slope=coefficients[1:],
        covariance=covariance,
        r_squared=_out_of_fold(x - centre, y, n_folds, seed),
        n_units=len(y),
    )


def effect_by_index(
    index: SurrogateIndex, treatment: Moments, control: Moments, *, confidence: float = 0.95
) -> SurrogateEffect:
    """The effect on the index.

        effect   = slope' (mean(s)_t - mean(s)_c)
        variance = slope' (S_t / n_t + S_c / n_c) slope                   units of the test
                   + (mean(s)_t - mean(s)_c)' V_slope (...)               units of history

    The covariances of the surrogates must be among the moments.
    """
    root = _root(index.covariance)
    arms = [_arm(index, moments, root) for moments in (treatment, control)]
    found = contrast(*arms, confidence=confidence, shared_df=index.df)
    apart = arms[0].shared - arms[1].shared
    return SurrogateEffect(
        estimate=found,
        sampling_error=math.sqrt(arms[0].variance + arms[1].variance),
        index_error=math.sqrt(float(apart @ apart)),
        r_squared=index.r_squared,
    )


def direct_effect(
    index: SurrogateIndex,
    treatment: Moments,
    control: Moments,
    *,
    outcome: str,
    confidence: float = 0.95,
) -> Estimate:
    """What the campaign did to the long-term outcome beyond the index, in a test known to its end.

        mean over units of outcome - index, treatment less control

    0 when surrogacy and comparability hold. The covariances of the outcome with every surrogate
    must be among the moments.
    """
    root = _root(index.covariance)
    arms = []
    for moments in (treatment, control):
        predicted = _arm(index, moments, root)
        names, weights = [outcome, *index.surrogates], np.array([1.0, *(-index.slope)])
        spread = moments.covariance_matrix(names) / moments.count
        arms.append(
            replace(
                predicted,
                value=moments.mean_of(outcome) - predicted.value,
                variance=max(float(weights @ spread @ weights), 0.0),
                shared=-predicted.shared,
            )
        )
    return contrast(*arms, confidence=confidence, shared_df=index.df)


def check_surrogacy(direct: Estimate) -> Check:
    """Whether an earlier test contradicts the index; a warning shown with every effect by it."""
    known = math.isfinite(direct.p_value)
    return Check(
        "surrogacy",
        passed=not known or direct.p_value >= DIRECT_P_VALUE,
        value=direct.p_value if known else None,
        bound=DIRECT_P_VALUE,
        remedy=f"In a test known to its end, the long-term effect was {direct.effect:.4g} beyond "
        "the index. The surrogates miss a way in which the campaign works: add it, or wait.",
        code="SURROGACY",
        blocking=False,
    )


def _arm(index: SurrogateIndex, moments: Moments, root: Array) -> ArmMean:
    """The arm's mean of the index; what the index does not know is shared by the arms."""
    require_two(moments.count, index.surrogates[0])
    away = np.array([moments.mean_of(name) for name in index.surrogates]) - index.centre
    spread = moments.covariance_matrix(index.surrogates) / moments.count
    return ArmMean(
        value=index.level + float(index.slope @ away),
        rest=0.0,
        variance=max(float(index.slope @ spread @ index.slope), 0.0),
        df=moments.count - 1,
        n_units=moments.count,
        shared=root.T @ np.array([1.0, *away]),
    )


def _least_squares(x: Array, y: Array) -> tuple[Array, Array]:
    """Coefficients (the level first) and their HC3 covariance."""
    design = np.column_stack([np.ones(len(y)), x])
    inverse = np.linalg.pinv(design.T @ design)
    coefficients = inverse @ (design.T @ y)
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
    residual = (y - design @ coefficients) / np.maximum(1 - leverage, 1e-8)
    half = inverse @ (design * residual[:, None]).T
    return coefficients, half @ half.T


def _out_of_fold(x: Array, y: Array, n_folds: int, seed: int) -> float:
    fold = np.random.default_rng(seed).permutation(np.arange(len(y)) % n_folds)
    error = np.empty(len(y))
    for k in range(n_folds):
        inside = fold != k
        coefficients, _ = _least_squares(x[inside], y[inside])
        error[~inside] = y[~inside] - coefficients[0] - x[~inside] @ coefficients[1:]
    total = float(np.sum((y - y.mean()) ** 2))
    return 1 - float(error @ error) / total if total > 0 else 0.0


def _root(covariance: Array) -> Array:
    """A matrix whose product with its own transpose is the covariance."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
