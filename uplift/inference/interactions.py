"""Two campaigns at once: does one change what the other does?

Customers are in one of four cells: none, the first only, the second only, both. Without an
interaction the campaigns add up. The same test, with an earlier campaign as the second, looks for
carry-over: whether what a customer got before changes what this campaign does.
"""

from dataclasses import dataclass, replace

from uplift.inference.means import ArmMean, Estimate, arm_mean, contrast
from uplift.inference.moments import Moments
from uplift.table import Column, Result, Table


@dataclass(frozen=True, repr=False)
class Interaction(Result):
    """The effects of the first campaign, without and with the second, and what sets them apart.

    alone        effect of the first campaign on customers without the second
    together     and on customers with it
    interaction  together - alone; above 0 they help each other
    """

    alone: Estimate
    together: Estimate
    interaction: Estimate

    def table(self) -> Table:
        """The two effects and their difference."""
        columns = (
            Column("effect of the first campaign"),
            Column("effect", kind="signed"),
            Column("ci", kind="interval"),
            Column("p value", kind="p_value"),
        )
        rows = [
            (name, one.effect, one.ci, one.p_value)
            for name, one in (
                ("without the second", self.alone),
                ("with the second", self.together),
                ("difference (interaction)", self.interaction),
            )
        ]
        return Table("Interaction of two campaigns", columns, rows)


def interaction(
    *,
    neither: Moments,
    first: Moments,
    second: Moments,
    both: Moments,
    column: str,
    confidence: float = 0.95,
) -> Interaction:
    """(both - second) - (first - neither), on Welch's degrees of freedom.

    Both campaigns must have been drawn independently of each other. In the interaction's estimate,
    the two effects stand for the means of control and treatment, and it has no relative interval.
    """
    none, one, other, two = (arm_mean(cell, column) for cell in (neither, first, second, both))
    alone = contrast(one, none, confidence=confidence)
    together = contrast(two, other, confidence=confidence)
    crossed = contrast(_sum(two, none), _sum(one, other), confidence=confidence)
    base = abs(alone.effect)
    return Interaction(
        alone=alone,
        together=together,
        interaction=replace(
            crossed,
            control_mean=alone.effect,
            treatment_mean=together.effect,
            relative_effect=crossed.effect / base if base > 0 else float("nan"),
            relative_ci=(float("nan"), float("nan")),
            relative_std_error=float("nan"),
        ),
    )


def _sum(first: ArmMean, second: ArmMean) -> ArmMean:
    """Two independent means added, with Satterthwaite's degrees of freedom."""
    variance = first.variance + second.variance
    df = first.df + second.df
    if variance > 0:
        shares = [(arm.variance / variance) ** 2 / arm.df for arm in (first, second)]
        df = 1 / sum(shares)
    return ArmMean(
        value=first.value + second.value,
        rest=first.rest + second.rest,
        variance=variance,
        df=df,
        n_units=first.n_units + second.n_units,
    )
