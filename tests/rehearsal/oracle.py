"""What a replay says beside what `analyse` says of the same arms: every field, at every look."""

from dataclasses import asdict, replace

import pytest

from uplift.analysis.effects import effect_rows
from uplift.analysis.money import money_of
from uplift.looks import look_days
from uplift.rehearsal.planting import Effect
from uplift.rehearsal.proofs import rule_at
from uplift.rehearsal.replay import looks_taken


def differences(mine, oracle, where: str = "") -> list[str]:
    """What differs between two results, by the path of the field; numbers to 9 digits."""
    if isinstance(mine, dict):
        return [d for k in mine for d in differences(mine[k], oracle[k], f"{where}.{k}")]
    if isinstance(mine, tuple | list):
        pairs = enumerate(zip(mine, oracle, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{where}[{i}]")]
    if isinstance(mine, float):
        same = mine == pytest.approx(oracle, rel=1e-9, abs=1e-12, nan_ok=True)
    else:
        same = mine == oracle
    return [] if same else [f"{where}: {mine} but {oracle}"]


def unlike(plan, script, number: int, found, effect: Effect | None = None) -> list[str]:
    """Differences of a replay from the reports, look by look, p-values included."""
    everything = []
    before: dict[tuple[str, bool], float] = {}
    for day, taken, report in zip(
        look_days(plan), looks_taken(script, number, effect), found, strict=True
    ):
        exact = replace(rule_at(plan, day), before=before)  # p-values searched for
        readings = replace(taken.readings, rule=exact)
        rows, money = effect_rows(plan, readings), money_of(plan, readings)
        quick = [(row.metric, row.treatment, row.verdict, row.ci) for row in taken.rows]
        slow = [(row.metric, row.treatment, row.verdict, row.ci) for row in report.effects]
        everything += differences([asdict(r) for r in rows], [asdict(r) for r in report.effects])
        everything += differences(asdict(money), asdict(report.money), "money")
        everything += differences(quick, slow, "quick")
        if report.look is not None:
            for test, one in report.look.tests.items():
                key = (test, one.effect > 0)
                before[key] = min(one.p_value, before.get(key, 1.0))
    return everything
