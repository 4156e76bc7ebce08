"""What one comparison can answer: one metric of one treatment against the control, in words."""

from collections.abc import Sequence
from dataclasses import dataclass

from uplift.sizing.baseline import Baseline
from uplift.sizing.looks import Look
from uplift.table import format_value

GUARDRAIL = "guardrail"


@dataclass(frozen=True)
class Answer:
    """What the experiment will show of one metric and treatment; effects in the metric's unit.

    kind            mean · proportion · ratio
    mde             smallest effect proven with the wanted power by the plain formula, at the
                    baseline's spread in both arms (of a guardrail: the smallest margin that can be
                    shown to be kept)
    mde_money       mde of the value outcome as margin per unit; None for other metrics
    sought_effect   smallest effect worth acting on (of a guardrail: its margin); None if not stated
    power           probability of proving the sought effect, with the spread and skewness that the
                    treatment then has (of a guardrail: of proving that the margin is kept when
                    there is no harm)
    n_needed        units of the whole experiment that would give the wanted power
    wanted_power    of this test, so that the whole rule has the power wanted of the design
    inflation       units that the plan's looks cost, over those of one look
    n_clusters      clusters in both arms, where clusters are drawn and history shows their size
    n_effective     independent units that the arms' members are worth, where clusters are drawn
    looks           every planned reading
    """

    metric: str
    kind: str
    role: str
    treatment: str
    unit: str
    baseline: Baseline
    n_control: int
    n_treatment: int
    mde: float
    mde_relative: float | None
    mde_money: float | None
    sought_effect: float | None
    power: float | None
    n_needed: int | None
    wanted_power: float
    inflation: float = 1.0
    n_clusters: int | None = None
    n_effective: int | None = None
    looks: tuple[Look, ...] = ()

    @property
    def verdict(self) -> str:
        """`can answer`, `cannot answer`, or `no effect stated` when the plan does not say."""
        if self.power is None:
            return "no effect stated"
        return "can answer" if self.power >= self.wanted_power else "cannot answer"

    def words(self) -> str:
        """The answer as a marketer would say it."""
        return words_of([self])

    def amount(self, value: float | None) -> str:
        """An effect with its unit; of a share in points."""
        if self.kind == "proportion":
            return f"{format_value(100 * value if value is not None else None, 'number')} points"
        return f"{format_value(value, 'number')} {self.unit}"

    @property
    def said(self) -> tuple[object, ...]:
        """What its sentence says, beside the treatment."""
        return (self.metric, self.n_treatment, self.mde, self.power, self.n_needed)


@dataclass(frozen=True)
class HoldoutOption:
    """What another control share would show of the primary metric, for its smallest treatment."""

    control_share: float
    n_control: int
    mde: float
    mde_relative: float | None


def words_of(answers: Sequence[Answer]) -> str:
    """One sentence for treatments of which the same is said."""
    answer = answers[0]
    if answer.power is None:
        return f"{_smallest(answers)}."
    guards = answer.role == GUARDRAIL
    asked, shown = ("a harm", "ruled out") if guards else ("an effect", "proven")
    return (
        f"{_smallest(answers)}. {answer.verdict.capitalize()}: {asked} of {_sought(answer)} would "
        f"be {shown} with a chance of {format_value(answer.power, 'share')}; "
        f"{format_value(answer.n_needed, 'count')} customers are needed for "
        f"{format_value(answer.wanted_power, 'share')}."
    )


def _smallest(answers: Sequence[Answer]) -> str:
    answer = answers[0]
    *others, last = [one.treatment for one in answers]
    names = f"{', '.join(others)} and {last}" if others else last
    each = " each" if others else ""
    kind = "margin" if answer.role == GUARDRAIL else "effect"
    text = (
        f"{answer.metric}, {names} ({format_value(answer.n_treatment, 'count')}{each}) against "
        f"control ({format_value(answer.n_control, 'count')}): the smallest {kind} that can be "
        f"shown is {answer.amount(answer.mde)}"
    )
    if answer.mde_relative is None or answer.role == GUARDRAIL:
        return text
    mean = format_value(answer.baseline.mean, "number")
    if answer.kind == "proportion":
        mean = f"{format_value(100 * answer.baseline.mean, 'number')} %"
    return f"{text}, {format_value(answer.mde_relative, 'share')} of the control's {mean}"


def _sought(answer: Answer) -> str:
    """The effect sought, and as a share of the control's mean."""
    text, mean = answer.amount(answer.sought_effect), answer.baseline.mean
    if answer.role == GUARDRAIL or answer.sought_effect is None or mean <= 0:
        return text
    return f"{text} ({format_value(answer.sought_effect / mean, 'share')})"
