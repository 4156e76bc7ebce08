"""A reading as the looks after it need it."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from uplift.analysis.columns import GROSS
from uplift.analysis.effects import EffectRow
from uplift.analysis.looks import Look, LookRule, LookTest, day_of
from uplift.analysis.money import Money
from uplift.experiment import Experiment
from uplift.strict_json import parse_json
from uplift.table import to_plain


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


def looks_text(looks: Sequence[Look]) -> str:
    """Looks as the file `looks.jsonl` holds them, one per line."""
    return "".join(
        json.dumps(to_plain(look), sort_keys=True, allow_nan=False) + "\n" for look in looks
    )


def looks_from(text: str) -> tuple[Look, ...]:
    """The looks of a file that `looks_text` wrote. Raises DefinitionError JSON_INVALID."""
    lines = [line for line in text.splitlines() if line.strip()]
    return tuple(_look(parse_json(line, name="looks.jsonl").content) for line in lines)


def with_look(looks: Sequence[Look], new: Look) -> tuple[Look, ...]:
    """The looks and a new one, which takes the place of one of the same day."""
    return (*(look for look in looks if look.day != new.day), new)


def _look(values: Any) -> Look:
    tests = {
        test: LookTest(
            effect=_number(one["effect"]),
            ci=(_number(one["ci"][0]), _number(one["ci"][1])),
            z=_number(one["z"]),
            bound=float(one["bound"]),
            p_value=_number(one["p_value"]),
        )
        for test, one in values["tests"].items()
    }
    return Look(
        number=int(values["number"]),
        day=int(values["day"]),
        as_of=datetime.fromisoformat(values["as_of"]),
        fraction=float(values["fraction"]),
        n_units=int(values["n_units"]),
        final=bool(values["final"]),
        tests=tests,
    )


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
