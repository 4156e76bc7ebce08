"""What all replays of a plan share: the stage, what is read at which look, and the lots of each."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.analysis.cells import STRATUM, groups_of
from uplift.analysis.looks import LookRule
from uplift.analysis.prepared import Prepared
from uplift.experiment import Experiment
from uplift.frames import UNIT
from uplift.inference.planned_looks import PlannedLooks
from uplift.looks import look_days, planned_looks
from uplift.rehearsal.draws import drawn_arms, strata_drawn
from uplift.rehearsal.looks_shown import Shown
from uplift.rehearsal.proofs import quick, rule_at
from uplift.rehearsal.stage import Stage
from uplift.trial import features_of

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Script:
    """What all replays of a plan share.

    experiment  whose draw is replayed
    readings    what is read, by look: the interim looks that history can show, and the last one
    shown       by look: the outcomes of all rows, and which of them are read
    rules       of those looks, how each uses the error
    places      of those looks among the planned ones, from 0
    peek        every look uses the whole error, which no plan allows
    """

    experiment: Experiment
    stage: Stage = field(repr=False)
    readings: tuple[Prepared, ...] = field(repr=False)
    shown: tuple[Shown, ...] = field(repr=False)
    rules: tuple[LookRule, ...] = field(repr=False)
    places: tuple[int, ...]
    peek: bool
    seed: int

    @property
    def read_as(self) -> Experiment:
        """The definition by which results are read."""
        return self.readings[-1].experiment

    @property
    def looks(self) -> PlannedLooks:
        """The planned looks, and how they share the error."""
        return planned_looks(self.read_as)

    @property
    def alpha(self) -> float:
        """Error of the whole family."""
        return 1 - self.read_as.analysis.confidence


def script_of(
    experiment: Experiment,
    stage: Stage,
    *,
    read_as: Experiment | None = None,
    peek: bool = False,
    seed: int = 0,
) -> Script:
    """Line up what every replay shares."""
    reader = read_as or experiment
    days = look_days(reader)
    tables = [*((day, stage.by_day[day]) for day in days[:-1] if day in stage.by_day)]
    tables.append((days[-1], Shown(stage.outcomes)))
    groups = _groups(experiment, reader, stage)
    readings = tuple(_prepared(reader, stage, shown, groups) for _, shown in tables)
    plain = LookRule()
    rules = tuple(plain if peek else quick(reader, rule_at(reader, day)) for day, _ in tables)
    places = tuple(days.index(day) for day, _ in tables)
    names = list(reader.outcome_columns)
    shown = tuple(Shown(one.outcomes[names].astype(np.float64), one.rows) for _, one in tables)
    return Script(experiment, stage, readings, shown, rules, places, peek, seed)


def _prepared(
    reader: Experiment, stage: Stage, shown: Shown, groups: dict[str, pd.Series]
) -> Prepared:
    """What is read at one look, of the rows that it reads."""
    rows = shown.rows
    table, cluster, customer = shown.outcomes, stage.cluster, stage.customer
    if rows is not None:
        table = table.take(rows).reset_index(drop=True)
        groups = {name: of.take(rows).reset_index(drop=True) for name, of in groups.items()}
        cluster, customer = (
            np.unique(code[rows], return_inverse=True)[1] for code in (cluster, customer)
        )
    return Prepared.of(
        reader, table, stage.customers, cluster=cluster, customer=customer, groups=groups
    )


def _groups(experiment: Experiment, reader: Experiment, stage: Stage) -> dict[str, pd.Series]:
    """The stratum of each unit, and its segments where history has them."""
    features = features_of(stage.outcomes[UNIT], stage.history)
    known = tuple(name for name in reader.analysis.segments if name in features.columns)
    plan = reader.analysis.model_copy(update={"segments": known})
    drawn = pd.DataFrame(index=range(stage.n_rows))
    if experiment.assignment.method == "stratified":
        drawn[STRATUM] = strata_drawn(experiment, stage.draws, stage.n_rows)
    return groups_of(reader.model_copy(update={"analysis": plan}), drawn, features)


def replayed(experiment: Experiment, *, seed: int, number: int) -> Experiment:
    """The plan with the lots of one replay: the same in every respect but the salt."""
    salt = f"replay_{seed}_{number}"
    plan = experiment.assignment.model_copy(update={"salt": salt})
    return experiment.model_copy(update={"assignment": plan})


def arms_of(script: Script, number: int) -> IntArray:
    """Arm of each row in one replay, by the assignment's own rule. (n_rows,)."""
    plan = replayed(script.experiment, seed=script.seed, number=number)
    return drawn_arms(plan, script.stage.draws, script.stage.n_rows)
