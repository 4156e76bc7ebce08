"""The draw of a whole list at once: exact shares within strata, in blocks, or until balanced.

Whatever the method, the order within a stratum is that of the units' hashes. So a draw depends on
the definition and on who is in the list; not on the order of its rows, a clock or a random number.

    stratified     counts per stratum and arm by `rounding`; the first units in the order are the
                   control's, the next ones the first treatment's, and so on
    matched        the same, with blocks of similar customers (`blocks`) inside each stratum
    rerandomised   such draws with one salt after the other, until one is balanced (`balancing`)

Every unit's propensity is the designed share, exactly, for the first two; for the third see
`balancing.propensities`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.assignment.balancing import Balancer, covariates_of
from uplift.assignment.blocks import blocks_of
from uplift.assignment.hashing import UIntArray, draw_arms, exact_shares, hash_units, slots
from uplift.assignment.rounding import rounded_counts
from uplift.errors import DataError
from uplift.experiment import Experiment

LARGEST_BLOCK = 20  # customers; beyond it they are not alike any more
SIZE = "members of the cluster"  # one covariate more where clusters are drawn
PATIENCE = 20  # a draw is given up when chance would have accepted one but for e^-20

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Draw:
    """How the arms of a list were drawn, for the record and for the analysis.

    salt        of the draw that was taken
    n_drawn     ids drawn: units, or clusters
    n_strata    strata, or blocks, with exact shares; 0 for a draw by hash
    covariates  that were balanced, or that blocks share
    n_draws     how many draws were tried
    distance    Mahalanobis distance of the arms in the draw taken; None where none is needed
    bound       the largest distance that was accepted
    n_unsure    ids so unusual that rerandomisation leaves their propensity known roughly only
    """

    method: str
    salt: str
    n_drawn: int
    n_strata: int = 0
    covariates: tuple[str, ...] = ()
    n_draws: int = 1
    distance: float | None = None
    bound: float | None = None
    n_unsure: int = 0


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known of the ids to draw, n_drawn rows each: columns of strata and covariates."""

    strata: pd.DataFrame
    covariates: pd.DataFrame

    def to_balance(self, names: Sequence[str]) -> list[str]:
        """The declared covariates, and the size of clusters."""
        return [*names, *([SIZE] if SIZE in self.covariates.columns else [])]


@dataclass(frozen=True, eq=False)
class Drawn:
    """What each id got: position of the arm, its propensity, stratum and slot. Each (n_drawn,)."""

    arm: IntArray
    propensity: Array
    stratum: pd.api.extensions.ExtensionArray
    slot: Array
    draw: Draw


@dataclass(frozen=True, eq=False)
class Strata:
    """Strata of a list: the code of each id (n_drawn,), and the label of each code."""

    code: IntArray
    labels: npt.NDArray[np.object_]

    @property
    def of_each(self) -> pd.api.extensions.ExtensionArray:
        """The label of each id, as text. (n_drawn,)."""
        return texts(self.labels, self.code)


def draw_list(experiment: Experiment, ids: pd.Series, facts: Facts, *, salt: str) -> Drawn:
    """Draw the arms of a list of ids.

    ids    (n_drawn,)  distinct, in ascending order
    facts  the columns of the plan's strata and covariates
    salt   of the arm draw
    Errors: COLUMN_MISSING, BALANCE_COLUMN, BALANCE_UNREACHED.
    """
    method = experiment.assignment.method
    if method == "hash" or ids.empty:
        return _by_hash(experiment, ids, salt=salt)
    strata = strata_of(facts.strata, experiment.assignment.strata)
    if method == "rerandomised":
        return _until_balanced(experiment, ids, facts, strata, salt=salt)
    if method == "matched":
        strata = _blocks(experiment, facts, strata)
    values = hash_units(ids, salt=salt)
    arm = exact_arms(values, strata, exact_shares(experiment), salt=salt)
    note = Draw(method, salt, len(ids), len(strata.labels), experiment.assignment.balance)
    return Drawn(arm, _shares(experiment)[arm], strata.of_each, slots(values), note)


def exact_arms(
    values: UIntArray, strata: Strata, shares: dict[str, Fraction], *, salt: str
) -> IntArray:
    """Arms with exact shares in each stratum, in the order of the hash values. (n_drawn,)."""
    sizes = np.bincount(strata.code, minlength=len(strata.labels)).astype(np.int64)
    counts = rounded_counts(sizes, list(shares.values()), salt=salt)
    arms = np.tile(np.arange(len(shares)), len(sizes))
    arm = np.empty(len(values), dtype=np.int64)
    arm[_sorted(values, strata)] = np.repeat(arms, counts.ravel())
    return arm


def strata_of(facts: pd.DataFrame, names: Sequence[str]) -> Strata:
    """Every combination of values that occurs, in the order of its label.

    A missing value is a value of its own. Errors: COLUMN_MISSING.
    """
    missing = [name for name in names if name not in facts.columns]
    if missing:
        raise DataError(
            f"customers: the stratum column {missing[0]!r} is missing. Add it, or change the "
            "strata of the assignment.",
            code="COLUMN_MISSING",
            column=missing[0],
        )
    if not names:
        return Strata(np.zeros(len(facts), dtype=np.int64), np.array([""], dtype=object))
    code = np.zeros(len(facts), dtype=np.int64)
    labels = [""]
    for name in names:
        own, values = _values_of(facts[name])
        both = code * len(values) + own
        code, kept = _compact(both)
        labels = [
            f"{labels[i // len(values)]}|{name}={values[i % len(values)]}".lstrip("|")
            for i in kept.tolist()
        ]
    return Strata(code, np.array(labels, dtype=object))


def texts(values: Any, code: IntArray) -> pd.api.extensions.ExtensionArray:
    """Few texts, each taken many times: faster than making text of every row. (n_rows,)."""
    return pd.array(list(values), dtype="str").take(code)


def _by_hash(experiment: Experiment, ids: pd.Series, *, salt: str) -> Drawn:
    values = hash_units(ids, salt=salt)
    arm = draw_arms(values, exact_shares(experiment))
    none = texts([""], np.zeros(len(ids), dtype=np.int64))
    note = Draw(experiment.assignment.method, salt, len(ids))
    return Drawn(arm, _shares(experiment)[arm], none, slots(values), note)


def _until_balanced(
    experiment: Experiment, ids: pd.Series, facts: Facts, strata: Strata, *, salt: str
) -> Drawn:
    plan, shares = experiment.assignment, exact_shares(experiment)
    balancer = Balancer.of(
        covariates_of(facts.covariates, facts.to_balance(plan.balance)),
        stratum=strata.code,
        n_arms=len(shares),
        acceptance=plan.acceptance,
    )
    most = math.ceil(PATIENCE / plan.acceptance)
    for k in range(most):
        own = salt if k == 0 else f"{salt}:{k}"
        values = hash_units(ids, salt=own)
        arm = exact_arms(values, strata, shares, salt=own)
        distance = balancer.distance(arm)
        if distance <= balancer.bound:
            break
    else:
        raise DataError(
            f"{experiment.id}: none of {most:,} draws balances {', '.join(plan.balance)} within "
            f"{balancer.bound:.3g}. Balance fewer covariates, cap those with outliers, or "
            "raise the acceptance.",
            code="BALANCE_UNREACHED",
        )
    designed = _shares(experiment)
    propensity = balancer.propensities(designed)[np.arange(len(ids)), arm]
    note = Draw(
        method=plan.method,
        salt=own,
        n_drawn=len(ids),
        n_strata=len(strata.labels),
        covariates=plan.balance,
        n_draws=k + 1,
        distance=distance,
        bound=balancer.bound,
        n_unsure=balancer.n_unsure(designed),
    )
    return Drawn(arm, propensity, strata.of_each, slots(values), note)


def _blocks(experiment: Experiment, facts: Facts, strata: Strata) -> Strata:
    """Strata cut into blocks that hold every arm a whole number of times, where that is short."""
    shares = exact_shares(experiment).values()
    size = min(math.lcm(*(share.denominator for share in shares)), LARGEST_BLOCK)
    covariates = covariates_of(facts.covariates, facts.to_balance(experiment.assignment.balance))
    code = blocks_of(covariates, stratum=strata.code, size=size)
    first = np.unique(code, return_index=True)[1]
    outer = strata.labels[strata.code[first]]
    labels = [f"{label}|block={i}".lstrip("|") for i, label in enumerate(outer)]
    return Strata(code, np.array(labels, dtype=object))


def _shares(experiment: Experiment) -> Array:
    return np.array(list(experiment.shares.values()), dtype=np.float64)


def _sorted(values: UIntArray, strata: Strata) -> IntArray:
    """Order by stratum, then by hash value; of equal ones, by position."""
    bits = max(len(strata.labels) - 1, 1).bit_length()
    code = strata.code.astype(np.uint64)
    key = (code << np.uint64(64 - bits)) | (values >> np.uint64(bits))
    order = np.argsort(key)  # one number for both is sorted several times faster than two columns
    ranked = key[order]
    if (ranked[1:] == ranked[:-1]).any():  # bits were lost that decide
        order = np.lexsort((values, strata.code))
    return np.asarray(order, dtype=np.int64)


def _values_of(column: pd.Series) -> tuple[IntArray, list[str]]:
    """Code of each row's value, and the values as text in ascending order; "" when missing.

    The separators of a label are escaped, so that they stand for themselves.
    """
    codes, values = pd.factorize(column)
    plain = [str(value).replace("\\", "\\\\").replace("|", "\\|") for value in values]
    known, place = np.unique(np.array([*plain, ""], dtype=object), return_inverse=True)
    return place[codes].astype(np.int64), known.tolist()  # -1, a missing one, is the last


def _compact(code: IntArray) -> tuple[IntArray, IntArray]:
    """Codes renumbered without gaps, and the old ones in the new order."""
    largest = int(code.max(initial=0)) + 1
    if largest <= 4 * len(code) + 1000:
        kept = np.flatnonzero(np.bincount(code, minlength=largest))
        new = np.zeros(largest, dtype=np.int64)
        new[kept] = np.arange(len(kept))
        return new[code], kept
    kept, renumbered = np.unique(code, return_inverse=True)
    return renumbered.astype(np.int64), kept
