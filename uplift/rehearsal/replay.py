"""One replay: the sealed draw with other lots, and the sealed reading of what history has."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from uplift.analysis.decision import decide
from uplift.analysis.effects import GUARDRAIL, EffectRow, effect_checks, effect_rows
from uplift.analysis.money import money_of
from uplift.analysis.readings import Readings
from uplift.inference.sample_ratio import check_sample_ratio
from uplift.rehearsal.planting import Effect, plant
from uplift.rehearsal.proofs import alone_at, family_at, last_look
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
    return _found(script, rows, _action(script, looks[-1], rows[-1]))


def _action(script: Script, readings: Readings, rows: tuple[EffectRow, ...]) -> str:
    """The decision at the last look, by what that look leaves of the error."""
    experiment, rule = script.read_as, last_look(script)
    if not rule.plain:
        readings = replace(readings, rule=rule)
        rows = effect_rows(experiment, readings)
    checks = (
        check_sample_ratio(readings.randomised, shares=experiment.shares),
        *effect_checks(rows),
    )
    money = money_of(experiment, readings)
    return decide(rows, money, checks, open_until=None).action


def _found(script: Script, rows: list[tuple[EffectRow, ...]], action: str) -> Replay:
    tests = [[row for row in at_look if row.tested] for at_look in rows]
    p_values = [np.array([row.p_value for row in at_look]) for at_look in tests]
    gains = np.array(
        [[(row.effect > 0) == (row.direction == "up") for row in at_look] for at_look in tests]
    )
    alone, family = alone_at(script, p_values), np.array(family_at(script, p_values))
    holds = np.array([row.proven for row in rows[-1] if row.role == GUARDRAIL], dtype=np.bool_)
    return Replay(
        alone=alone >= 0,
        upside=_gained(alone, gains),
        family=family >= 0,
        better=_gained(family, gains),
        holds=holds,
        action=action,
    )


def _gained(proven_at: IntArray, gains: BoolArray) -> BoolArray:
    """Which tests are proven (-1 for never), and for the better at the look that proves them."""
    at_proof = gains[np.maximum(proven_at, 0), np.arange(len(proven_at))]
    return np.asarray(at_proof & (proven_at >= 0))
