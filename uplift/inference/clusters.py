"""Clusters (households, stores) as the randomised unit: how much less their members tell.

Members of one cluster resemble each other, so n of them are worth n / design effect independent
units. The intracluster correlation comes from history, before the draw.
Source: Donner & Klar (2000), "Design and Analysis of Cluster Randomization Trials"; Eldridge, Ashby
& Kerry (2006), International Journal of Epidemiology 35(5).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from uplift.errors import DataError, DefinitionError

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ClusterHistory:
    """What history says about the clusters of one outcome.

    correlation     intracluster correlation as estimated; sampling noise can put it below 0
    mean_size       members per cluster
    weighted_size   sum of squared sizes / sum of sizes: the size of a member's cluster on average
    variance        of the outcome over all members, in its unit squared
    """

    n_clusters: int
    n_units: int
    correlation: float
    mean_size: float
    weighted_size: float
    variance: float

    @property
    def design_effect(self) -> float:
        """Variance of the mean over that of as many independent members, at least 1."""
        return design_effect(
            mean_size=self.mean_size,
            weighted_size=self.weighted_size,
            correlation=max(self.correlation, 0.0),
        )


def cluster_history(values: Any, clusters: Any) -> ClusterHistory:
    """One-way analysis of variance of members in clusters of unequal size.

        correlation = (between - within) / (between + (m_0 - 1) within)
        m_0         = (n_units - sum(size^2) / n_units) / (n_clusters - 1)

    where between and within are mean squares.

    values    (n_units,)  outcome per member
    clusters  (n_units,)  which cluster each member belongs to, any type that can be compared
    """
    y = np.asarray(values, dtype=np.float64)
    _, group = np.unique(np.asarray(clusters), return_inverse=True)
    n_clusters = int(group.max()) + 1 if len(y) else 0
    if len(y) != len(group) or n_clusters < 2 or n_clusters == len(y):
        raise DataError(
            f"{len(y)} members in {n_clusters} clusters do not show how alike members are: at "
            "least 2 clusters, and one with 2 members, are needed.",
            code="ARM_TOO_SMALL",
        )
    size = np.bincount(group).astype(np.float64)
    y = y - y.mean()
    mean = np.bincount(group, weights=y) / size
    between = float(size @ mean**2) / (n_clusters - 1)
    within = float(np.sum((y - mean[group]) ** 2)) / (len(y) - n_clusters)
    usual = (len(y) - float(size @ size) / len(y)) / (n_clusters - 1)
    total = between + (usual - 1) * within
    return ClusterHistory(
        n_clusters=n_clusters,
        n_units=len(y),
        correlation=(between - within) / total if total > 0 else 0.0,
        mean_size=float(size.mean()),
        weighted_size=float(size @ size / size.sum()),
        variance=float(y.var(ddof=1)),
    )


def design_effect(
    *, mean_size: float, correlation: float, weighted_size: float | None = None
) -> float:
    """Variance of a mean of members of clusters, over that of as many independent members.

        1 + (weighted_size - 1) correlation,   weighted_size = mean_size (1 + cv^2)

    cv is the coefficient of variation of cluster sizes: unequal clusters cost more. Without a
    weighted size all clusters have the mean size.
    """
    m = mean_size if weighted_size is None else weighted_size
    if not (m >= 1 and -1 <= correlation <= 1):
        raise DefinitionError(
            f"A cluster has at least 1 member and a correlation in [-1, 1], got {m} and "
            f"{correlation}.",
            code="CLUSTER_INVALID",
        )
    return 1 + (m - 1) * correlation


def required_clusters(
    effect: float,
    *,
    variance: float,
    effect_of_design: float,
    mean_size: float,
    control_share: float = 0.5,
    treatment_share: float = 0.5,
    confidence: float = 0.95,
    power: float = 0.8,
) -> float:
    """Clusters of the whole experiment at which `effect` (per member) is proven with `power`.

        n_clusters mean_size = (t + t_power)^2 design effect variance (1 / share_c + 1 / share_t)
                               / effect^2

    with t quantiles of n_clusters - 2 degrees of freedom, because few clusters know their own
    variance badly.
    """
    unit = variance * effect_of_design * (1 / control_share + 1 / treatment_share) / mean_size

    def excess(log_clusters: float) -> float:
        n = math.exp(log_clusters)
        df = max(n * (control_share + treatment_share) - 2, 0.5)
        t = float(stats.t.ppf(0.5 + confidence / 2, df) + stats.t.ppf(power, df))
        return math.log(n) - math.log(t**2 * unit / effect**2)

    return math.exp(optimize.brentq(excess, 0.0, math.log(1e15), xtol=1e-12))


def power_of_clusters(
    effect: float,
    *,
    control_clusters: float,
    treatment_clusters: float,
    variance: float,
    effect_of_design: float,
    mean_size: float,
    confidence: float = 0.95,
) -> float:
    """Probability that an `effect` per member is found, with clusters - 2 degrees of freedom."""
    error = _error(control_clusters, treatment_clusters, variance, effect_of_design, mean_size)
    df = max(control_clusters + treatment_clusters - 2, 1.0)
    bound, shift = float(stats.t.ppf(0.5 + confidence / 2, df)), effect / error
    if df > 1e6:
        return float(stats.norm.sf(bound - shift) + stats.norm.cdf(-bound - shift))
    return float(stats.nct.sf(bound, df, shift) + stats.nct.sf(bound, df, -shift))


def detectable_effect_of_clusters(
    *,
    control_clusters: float,
    treatment_clusters: float,
    variance: float,
    effect_of_design: float,
    mean_size: float,
    confidence: float = 0.95,
    power: float = 0.8,
) -> float:
    """Smallest effect per member that is proven with probability `power`, above 0."""
    error = _error(control_clusters, treatment_clusters, variance, effect_of_design, mean_size)

    def shortfall(shift: float) -> float:
        found = power_of_clusters(
            shift * error,
            control_clusters=control_clusters,
            treatment_clusters=treatment_clusters,
            variance=variance,
            effect_of_design=effect_of_design,
            mean_size=mean_size,
            confidence=confidence,
        )
        return found - power

    upper = 4.0
    while shortfall(upper) < 0:
        upper *= 2
    return error * float(optimize.brentq(shortfall, 0.0, upper, xtol=1e-10))


def _error(
    control_clusters: float,
    treatment_clusters: float,
    variance: float,
    effect_of_design: float,
    mean_size: float,
) -> float:
    if not (control_clusters > 0 and treatment_clusters > 0):
        raise DefinitionError(
            f"Each arm needs clusters, got {control_clusters} and {treatment_clusters}.",
            code="ARM_TOO_SMALL",
        )
    per_cluster = variance * effect_of_design / mean_size
    return math.sqrt(per_cluster * (1 / control_clusters + 1 / treatment_clusters))
