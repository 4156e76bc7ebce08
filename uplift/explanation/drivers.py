"""Which features drive the effects a model gives, customer by customer, and over all of them."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from uplift.errors import DataError
from uplift.models.contributions import Contributions, contributions_of
from uplift.suite import Candidate, Suite
from uplift.table import Column, Result, Table
from uplift.trial import Trial

Array = npt.NDArray[np.float64]

N_CUSTOMERS = 2_000  # contributions cost more than scores; these show what all would
LARGER, SMALLER, MIXED = "larger", "smaller", "mixed"
CLEAR = 0.3  # rank correlation from which a direction is said


@dataclass(frozen=True)
class Driver:
    """How much a feature moves the effects of one treatment, in the outcome's unit.

    mean_size  mean absolute contribution
    direction  whether higher values go with a "larger" or "smaller" effect, or "mixed"; of a
               category, the level with the largest mean contribution
    """

    treatment: str
    feature: str
    mean_size: float
    direction: str


@dataclass(frozen=True, repr=False)
class Drivers(Result):
    """What moves a candidate's effects: of the model, not of the world.

    base           by treatment: effect before anything is known of a customer
    contributions  of customers; they add up to the effects exactly
    values         the customers' features, encoded
    customers      a row per customer and treatment: unit, effect, base, one column per feature
    """

    candidate: str
    outcome: str
    n_customers: int
    base: dict[str, float]
    drivers: tuple[Driver, ...]
    contributions: Contributions = field(repr=False)
    values: Array = field(repr=False)
    customers: pd.DataFrame = field(repr=False)

    def table(self) -> Table:
        """A row per treatment and feature, largest first."""
        columns = [
            Column("treatment"),
            Column("feature"),
            Column("mean size", kind="number"),
            Column("higher values: effect"),
        ]
        rows = [(d.treatment, d.feature, d.mean_size, d.direction) for d in self.drivers]
        note = (
            f"Mean absolute contribution to the effect on {self.outcome} that {self.candidate} "
            f"gives {self.n_customers} customers. Contributions add up to each effect; they say "
            "what the model uses, not what causes the effect."
        )
        return Table("What drives the effects", columns, rows, note=note)


def effect_drivers(
    suite: Suite,
    trial: Trial,
    candidate: str | None = None,
    *,
    n_customers: int = N_CUSTOMERS,
    seed: int = 0,
) -> Drivers:
    """Contributions of features to the effects of a sample of a trial's customers.

    candidate  name; None takes the best of the suite
    Refused: CANDIDATE_UNKNOWN, CONTRIBUTIONS_UNKNOWN.
    """
    chosen = suite.best if candidate is None else suite.candidates.get(candidate)
    if chosen is None:
        raise DataError(
            f"There is no candidate {candidate!r}. Choose one of {', '.join(suite.candidates)}.",
            code="CANDIDATE_UNKNOWN",
        )
    rng = np.random.default_rng(seed)
    kept = np.sort(rng.permutation(trial.n_units)[:n_customers])
    frame = trial.features.iloc[kept].reset_index(drop=True)
    return drivers_of(chosen, frame, trial.units[kept], suite=suite)


def drivers_of(
    candidate: Candidate, customers: pd.DataFrame, units: npt.NDArray[np.object_], *, suite: Suite
) -> Drivers:
    """The same for any customers, given by their features."""
    found = contributions_of(candidate.model, customers)
    encoder = candidate.model.encoder_  # type: ignore[attr-defined]  # contributions have one
    values = encoder.encode(customers)
    treatments = suite.arms[1:]
    drivers = [
        Driver(
            treatment,
            feature.name,
            float(np.abs(found.values[:, j, k]).mean()),
            _direction(values[:, j], found.values[:, j, k], feature.levels),
        )
        for k, treatment in enumerate(treatments)
        for j, feature in enumerate(encoder.features)
    ]
    order = {treatment: k for k, treatment in enumerate(treatments)}
    return Drivers(
        candidate=candidate.name,
        outcome=suite.outcome,
        n_customers=len(customers),
        base=dict(zip(treatments, map(float, found.base), strict=True)),
        drivers=tuple(sorted(drivers, key=lambda d: (order[d.treatment], -d.mean_size))),
        contributions=found,
        values=values,
        customers=_by_customer(found, units, treatments),
    )


def _direction(values: Array, contribution: Array, levels: tuple[str, ...]) -> str:
    known = ~np.isnan(values)
    if not known.any() or not np.ptp(contribution) or not np.ptp(values[known]):
        return MIXED
    if levels:
        codes = values[known].astype(np.int64)
        counts = np.bincount(codes, minlength=len(levels))
        sums = np.bincount(codes, weights=contribution[known], minlength=len(levels))
        means = np.where(counts > 0, sums / np.maximum(counts, 1), -np.inf)
        return f"{LARGER} for {levels[int(means.argmax())]}"
    if not np.ptp(contribution[known]):
        return MIXED
    slope = float(stats.spearmanr(values[known], contribution[known]).statistic)
    return LARGER if slope > CLEAR else SMALLER if slope < -CLEAR else MIXED


def _by_customer(
    found: Contributions, units: npt.NDArray[np.object_], treatments: tuple[str, ...]
) -> pd.DataFrame:
    effects = found.effects
    parts = []
    for k, treatment in enumerate(treatments):
        columns = {
            "unit": units,
            "treatment": treatment,
            "effect": effects[:, k],
            "base": found.base[k],
        }
        columns |= {name: found.values[:, j, k] for j, name in enumerate(found.features)}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)
