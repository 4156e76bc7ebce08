"""What all replays of a plan share: the stage, what is read at which look, and the lots of each."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from uplift.analysis.prepared import Prepared
from uplift.assignment.draws import draw_list
from uplift.assignment.hashing import draw_salt
from uplift.experiment import Experiment
from uplift.inference.planned_looks import PlannedLooks
from uplift.looks import look_days, planned_looks
from uplift.rehearsal.stage import Stage

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Script:
    """What all replays of a plan share.

    experiment  whose draw is replayed
    readings    what is read, by look: the interim looks that history can show, and the last one
    places      of those looks among the planned ones, from 0
    peek        every look uses the whole error, which no plan allows
    """

    experiment: Experiment
    stage: Stage = field(repr=False)
    readings: tuple[Prepared, ...] = field(repr=False)
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
    cluster = stage.member if reader.cluster is not None else None
    stratum = _strata(reader, stage)
    days = look_days(reader)
    tables = [*((day, stage.by_day[day]) for day in days[:-1] if day in stage.by_day)]
    tables.append((days[-1], stage.outcomes))
    readings = tuple(
        Prepared.of(reader, table, stage.customers, cluster=cluster, stratum=stratum)
        for _, table in tables
    )
    places = tuple(days.index(day) for day, _ in tables)
    return Script(experiment, stage, readings, places, peek, seed)


def _strata(reader: Experiment, stage: Stage) -> IntArray | None:
    """The strata by which the analysis weighs: of the draw, and those that the plan adds."""
    parts = []
    if reader.assignment.method == "stratified":
        drawn = stage.facts.strata.groupby(
            list(stage.facts.strata.columns), sort=False, dropna=False
        )
        of_id = drawn.ngroup().to_numpy()
        parts.append(of_id if reader.cluster is not None else of_id[stage.member])
    if reader.analysis.strata and reader.cluster is None:
        added = stage.history.groupby(list(reader.analysis.strata), sort=False, dropna=False)
        parts.append(added.ngroup().to_numpy())
    if not parts:
        return None
    return np.unique(np.stack(parts), axis=1, return_inverse=True)[1].astype(np.int64)


def replayed(experiment: Experiment, *, seed: int, number: int) -> Experiment:
    """The plan with the lots of one replay: the same in every respect but the salt."""
    salt = f"replay_{seed}_{number}"
    plan = experiment.assignment.model_copy(update={"salt": salt})
    return experiment.model_copy(update={"assignment": plan})


def arms_of(script: Script, number: int) -> IntArray:
    """Arm of each unit in one replay, by the assignment's own rule. (n_units,)."""
    plan = replayed(script.experiment, seed=script.seed, number=number)
    salt = draw_salt(plan, wave=plan.schedule.windows[0].wave)
    drawn = draw_list(plan, script.stage.ids, script.stage.facts, salt=salt)
    return np.asarray(drawn.arm[script.stage.member], dtype=np.int64)
