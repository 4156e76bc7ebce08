"""The funnel: one row per stage and treatment, from delivery to repeat purchase, as one family."""

from dataclasses import dataclass

from uplift.analysis.effects import EffectRow
from uplift.experiment import CONTROL, Experiment
from uplift.table import Column, Result, Table


@dataclass(frozen=True)
class FunnelRow:
    """One arm at one stage.

    mean        per assigned unit, so that stages can be compared with each other
    from_before  mean over that of the stage before; nan at the first and where that is 0
    effect, ci, p_adjusted  against the control; nan for the control, and p_adjusted for stages that
                only the treated can reach
    """

    stage: str
    title: str
    arm: str
    mean: float
    from_before: float
    effect: float
    ci: tuple[float, float]
    p_adjusted: float
    verdict: str


@dataclass(frozen=True, repr=False)
class Funnel(Result):
    """Stages in the order in which customers go through them, control first in each."""

    rows: tuple[FunnelRow, ...]
    correction: str

    def table(self) -> Table:
        """One row per stage and arm."""
        columns = (
            Column("stage"),
            Column("arm"),
            Column("per unit", kind="number"),
            Column("of the stage before", kind="number"),
            Column("effect", kind="signed"),
            Column("ci", kind="interval"),
            Column("p adjusted", kind="p_value"),
            Column("verdict"),
        )
        rows = [
            (r.title, r.arm, r.mean, r.from_before, r.effect, r.ci, r.p_adjusted, r.verdict)
            for r in self.rows
        ]
        note = f"One family of tests, corrected by {self.correction.replace('_', ' ')}."
        return Table("Funnel", columns, rows, note=note)


def funnel_of(experiment: Experiment, effects: tuple[EffectRow, ...]) -> Funnel | None:
    """The declared funnel; None when the plan has none."""
    stages = experiment.metrics.funnel
    if not stages:
        return None
    found: list[FunnelRow] = []
    before: dict[str, float] = {}
    for stage in stages:
        rows = [row for row in effects if row.metric == stage]
        means = {CONTROL: rows[0].control_mean, **{r.treatment: r.treatment_mean for r in rows}}
        for arm, mean in means.items():
            row = next((r for r in rows if r.treatment == arm), None)
            found.append(_row(rows[0], row, arm, mean, before.get(arm)))
        before = means
    return Funnel(tuple(found), experiment.analysis.correction)


def _row(
    any_row: EffectRow, row: EffectRow | None, arm: str, mean: float, before: float | None
) -> FunnelRow:
    nan = float("nan")
    return FunnelRow(
        stage=any_row.metric,
        title=any_row.title,
        arm=arm,
        mean=mean,
        from_before=mean / before if before else nan,
        effect=nan if row is None else row.effect,
        ci=(nan, nan) if row is None else row.ci,
        p_adjusted=nan if row is None else row.p_adjusted,
        verdict="" if row is None else row.verdict,
    )
