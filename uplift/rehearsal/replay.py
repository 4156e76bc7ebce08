"""One replay: the sealed draw with other lots, and the sealed reading of what history has."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from uplift.analysis.decision import decide
from uplift.analysis.effects import GUARDRAIL, EffectRow, effect_checks, effect_rows
from uplift.analysis.money import Money, money_of
from uplift.analysis.readings import Readings
from uplift.analysis.robustness import robustness_checks
from uplift.analysis.segments import segment_checks
from uplift.experiment import Experiment
from uplift.inference.sample_ratio import check_sample_ratio
from uplift.rehearsal.planting import Effect, plant
from uplift.rehearsal.proofs import proven_before
from uplift.rehearsal.script import Script, arms_of

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Replay:
    """What one replay found; a test is a treatment on a primary or secondary metric.

    alone   (n_tests,)  proven if it were the only test, at any look
    upside  (n_tests,)  the same, in the good direction
    family  (n_tests,)  proven with the family's correction, at any look
    better  (n_tests,)  the same, in the good direction
    holds   (n_guards,) guardrail shown to be within its margin, at the end
    action  of the decision, at the end
    """

    alone: BoolArray
    upside: BoolArray
    family: BoolArray
    better: BoolArray
    holds: BoolArray
    action: str


@dataclass(frozen=True, eq=False)
class LookTaken:
    """What the analysis finds at one look of a replay."""

    readings: Readings
    rows: tuple[EffectRow, ...]
    money: Money


def replay(script: Script, number: int, effect: Effect | None = None) -> Replay:
    """Draw, plant and read once."""
    looks = list(looks_taken(script, number, effect))
    tests = [[row for row in look.rows if row.tested] for look in looks]
    alpha = script.alpha
    alone = _first([[row.p_value <= alpha for row in rows] for rows in tests])
    family = _first([[row.proven for row in rows] for rows in tests])
    gains = np.array(
        [[(row.effect > 0) == (row.direction == "up") for row in rows] for rows in tests]
    )
    guards = [row.proven for row in looks[-1].rows if row.role == GUARDRAIL]
    return Replay(
        alone=alone >= 0,
        upside=_gained(alone, gains),
        family=family >= 0,
        better=_gained(family, gains),
        holds=np.array(guards, dtype=np.bool_),
        action=_action(script.read_as, looks[-1]),
    )


def looks_taken(script: Script, number: int, effect: Effect | None = None) -> Iterator[LookTaken]:
    """Every look of one replay, in turn."""
    arm = arms_of(script, number)
    experiment, change = script.read_as, None
    if effect is not None:
        rng = np.random.default_rng([script.seed, number])
        final = script.shown[-1].outcomes
        change = plant(effect, experiment, final, arm != 0, rng, wave=script.stage.wave)
    before: dict[tuple[str, bool], float] = {}
    looks = zip(script.readings, script.shown, script.rules, strict=True)
    for prepared, shown, rule in looks:
        table = None if change is None else change.of(shown.outcomes)
        arms = arm
        if shown.rows is not None:
            arms = arm[shown.rows]
            table = None if table is None else table.take(shown.rows).reset_index(drop=True)
        held = rule if script.peek else replace(rule, before=before)
        readings = replace(prepared.read(arms, table), rule=held)
        rows, money = effect_rows(experiment, readings), money_of(experiment, readings)
        before = proven_before(before, rows, money)
        yield LookTaken(readings, rows, money)


def _action(experiment: Experiment, look: LookTaken) -> str:
    """The decision at the last look, by the checks that an assignment of ours can fail."""
    readings = look.readings
    checks = (
        check_sample_ratio(readings.randomised, shares=experiment.shares),
        *readings.checks,
        *robustness_checks(experiment, readings, ()),
        *segment_checks(experiment, readings),
        *effect_checks(look.rows),
    )
    return decide(look.rows, look.money, checks, open_until=None).action


def _first(proven: list[list[bool]]) -> IntArray:
    """The look that first proves each test; -1 for never. Returns (n_tests,)."""
    at_look = np.array(proven, dtype=np.bool_)
    return np.where(at_look.any(axis=0), at_look.argmax(axis=0), -1)


def _gained(proven_at: IntArray, gains: BoolArray) -> BoolArray:
    """Which tests are proven (-1 for never), and for the better at the look that proves them."""
    at_proof = gains[np.maximum(proven_at, 0), np.arange(len(proven_at))]
    return np.asarray(at_proof & (proven_at >= 0))
