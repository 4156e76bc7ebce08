"""One replay: the sealed draw with other lots, and the sealed reading of what history has."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from uplift.analysis.decision import decide
from uplift.analysis.effects import GUARDRAIL, EffectRow, effect_checks, effect_rows
from uplift.analysis.money import money_of
from uplift.analysis.prepared import Prepared
from uplift.assignment.draws import draw_list
from uplift.assignment.hashing import draw_salt
from uplift.experiment import Experiment
from uplift.inference.planned_looks import PlannedLooks, holm_at_looks
from uplift.inference.sample_ratio import check_sample_ratio
from uplift.looks import look_days, planned_looks
from uplift.rehearsal.planting import Effect, plant
from uplift.rehearsal.stage import Stage

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


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


@dataclass(frozen=True, eq=False)
class Replay:
    """What one replay found; a test is a treatment on a primary or secondary metric.

    alone   (n_tests,)  proven if it were the only test, at any look
    family  (n_tests,)  proven with the family's correction, at any look
    better  (n_tests,)  the same, in the good direction
    holds   (n_guards,) guardrail shown to be within its margin, at the end
    action  of the decision, at the end
    """

    alone: BoolArray
    family: BoolArray
    better: BoolArray
    holds: BoolArray
    action: str


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


def replay(script: Script, number: int, effect: Effect | None = None) -> Replay:
    """Draw, plant and read once."""
    arm = arms_of(script, number)
    experiment = script.read_as
    change = None
    if effect is not None:
        rng = np.random.default_rng([script.seed, number])
        final = script.readings[-1].outcomes
        change = plant(effect, experiment, final, arm != 0, rng)
    looks = []
    for prepared in script.readings:
        table = None if change is None else change.of(prepared.outcomes)
        looks.append(prepared.read(arm, table))
    rows = [effect_rows(experiment, readings) for readings in looks]
    money = money_of(experiment, looks[-1])
    checks = (
        check_sample_ratio(looks[-1].randomised, shares=experiment.shares),
        *effect_checks(rows[-1]),
    )
    decision = decide(rows[-1], money, checks, open_until=None)
    return _found(script, rows, decision.action)


def _found(script: Script, rows: list[tuple[EffectRow, ...]], action: str) -> Replay:
    tests = [[row for row in at_look if row.role != GUARDRAIL] for at_look in rows]
    p_values = [np.array([row.p_value for row in at_look]) for at_look in tests]
    own = _levels(script, script.alpha)
    alone = np.any([p <= level for p, level in zip(p_values, own, strict=True)], axis=0)
    proven_at = np.array(_family(script, p_values))
    gains = np.array(
        [[(row.effect > 0) == (row.direction == "up") for row in at_look] for at_look in tests]
    )
    better = gains[np.maximum(proven_at, 0), np.arange(len(proven_at))] & (proven_at >= 0)
    holds = np.array([row.proven for row in rows[-1] if row.role == GUARDRAIL], dtype=np.bool_)
    return Replay(np.asarray(alone), proven_at >= 0, better, holds, action)


def _family(script: Script, p_values: list[Array]) -> list[int]:
    """The look at which the family's correction first calls each test proven; -1 for never."""
    if script.peek:
        first = [-1] * len(p_values[0])
        for look, p in enumerate(p_values):
            for i in np.flatnonzero(_holm_rejects(p, script.alpha)):
                first[i] = look if first[i] < 0 else first[i]
        return first
    whole = [np.full(len(p_values[0]), np.nan) for _ in range(_n_looks(script))]
    for place, p in zip(script.places, p_values, strict=True):
        whole[place] = p
    return holm_at_looks(whole, script.looks, alpha=script.alpha)


def _holm_rejects(p_values: Array, alpha: float) -> BoolArray:
    return np.asarray(holm_at_looks([p_values], PlannedLooks(), alpha=alpha)) >= 0


def _levels(script: Script, alpha: float) -> list[float]:
    """What a single test's p-value must get down to at each look that is replayed."""
    if script.peek:
        return [alpha] * len(script.places)
    levels = script.looks.levels(alpha)
    return [float(levels[place]) for place in script.places]


def _n_looks(script: Script) -> int:
    return len(script.looks.levels(script.alpha))
