"""A reading as the looks after it need it."""

from collections.abc import Sequence
from datetime import datetime

from uplift.analysis.effects import EffectRow
from uplift.analysis.looks import Look, LookRule, LookTest, day_of
from uplift.analysis.money import Money
from uplift.analysis.readings import GROSS
from uplift.experiment import Experiment


def look_of(
    experiment: Experiment,
    rule: LookRule,
    effects: Sequence[EffectRow],
    money: Money,
    *,
    as_of: datetime,
    n_units: int,
) -> Look | None:
    """The reading as later looks need it; None between looks, which count for nothing."""
    if rule.stage == "between looks":
        return None
    alpha = 1 - experiment.analysis.confidence
    found = {f"{row.metric} by {row.treatment}": row.estimate for row in effects}
    found |= {f"{GROSS} by {row.arm}": row.profit for row in money.rows}
    bound = rule.bound(alpha)
    return Look(
        number=rule.number,
        day=day_of(experiment, as_of),
        as_of=as_of,
        fraction=rule.fractions[-1],
        n_units=n_units,
        final=rule.stage == "final",
        tests={
            test: LookTest(
                effect=one.effect,
                ci=one.ci,
                z=one.effect / one.std_error if one.std_error > 0 else float("nan"),
                bound=bound,
                p_value=one.p_value,
            )
            for test, one in found.items()
        },
    )
