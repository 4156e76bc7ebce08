"""The Bayesian reading of an effect: what to believe after the test, given the belief before.

A normal prior (from past campaigns) and the estimate with its standard error give a normal
posterior. It answers "how likely is it better" and "what do we lose on average if we are wrong",
and shrinks a lucky winner towards what campaigns usually do. It does not correct for peeking.
"""

import math
from dataclasses import dataclass
from typing import Literal

from scipy import special

from uplift.errors import DataError, DefinitionError
from uplift.table import Column, Result, Table

Scale = Literal["absolute", "relative"]

CERTAIN_STD_ERRORS = 37.0  # beyond, the normal tail is 0 as a float: the loss is all or nothing


@dataclass(frozen=True, kw_only=True)
class Prior:
    """Normal belief about the effect before the test.

    mean, std  in the unit of the metric, or as shares of the control's mean if `scale` is relative
    """

    mean: float = 0.0
    std: float
    scale: Scale = "relative"

    def __post_init__(self) -> None:
        if not (self.std > 0 and math.isfinite(self.mean) and math.isfinite(self.std)):
            raise DefinitionError(
                f"A prior needs a finite mean and a std above 0, got {self.mean} and {self.std}. "
                "Leave the prior out to believe nothing before the test.",
                code="PRIOR_INVALID",
            )

    def on_scale(self, scale: Scale, *, control_mean: float) -> "Prior":
        """The same belief on another scale; both scales differ by the control mean's magnitude."""
        if scale == self.scale:
            return self
        base = abs(control_mean)
        if not (base > 0 and math.isfinite(base)):
            raise DataError(
                f"A {self.scale} prior cannot be used for a {scale} effect when the control mean "
                f"is {control_mean}. State the prior as {scale}.",
                code="RATIO_UNDEFINED",
            )
        factor = base if scale == "absolute" else 1 / base
        return Prior(mean=self.mean * factor, std=self.std * factor, scale=scale)


@dataclass(frozen=True, kw_only=True, repr=False)
class Posterior(Result):
    """Normal belief about the effect after the test.

    mean, std         on `scale`
    ci                credible interval
    chance_to_win     probability that the treatment is better than the control
    loss_of_treating  expected loss by giving everyone the treatment: E[max(-effect, 0)] if a higher
                      metric is better
    loss_of_control   expected loss by giving nobody the treatment: E[max(effect, 0)]
    """

    mean: float
    std: float
    ci: tuple[float, float]
    chance_to_win: float
    loss_of_treating: float
    loss_of_control: float
    scale: Scale

    def table(self) -> Table:
        """One row."""
        columns = (
            Column("effect", kind="signed"),
            Column("credible interval", kind="interval"),
            Column("chance to win", kind="share"),
            Column("expected loss if treated", kind="number"),
            Column("expected loss if not", kind="number"),
        )
        row = (
            self.mean,
            self.ci,
            self.chance_to_win,
            self.loss_of_treating,
            self.loss_of_control,
        )
        return Table(f"Posterior of the {self.scale} effect", columns, [row])


def posterior(
    effect: float,
    std_error: float,
    *,
    scale: Scale = "absolute",
    control_mean: float = math.nan,
    prior: Prior | None = None,
    confidence: float = 0.95,
    higher_is_better: bool = True,
) -> Posterior:
    """Belief after an estimate with its standard error.

        precision = 1 / std_error^2 + 1 / prior std^2
        mean      = (effect / std_error^2 + prior mean / prior std^2) / precision

    scale         of effect and std_error; a prior on the other scale is converted
    control_mean  needed only to convert the prior (unadjusted)
    prior         None: flat, the posterior is the estimate itself
    """
    if not (std_error > 0 and math.isfinite(effect) and math.isfinite(std_error)):
        raise DataError(
            f"A posterior needs an effect with a standard error above 0, got {effect} and "
            f"{std_error}.",
            code="NO_VARIATION",
        )
    mean, std = effect, std_error
    if prior is not None:
        before = prior.on_scale(scale, control_mean=control_mean)
        share = before.std**2 / (before.std**2 + std_error**2)  # of the data in the mean
        mean = share * effect + (1 - share) * before.mean
        std = std_error * math.sqrt(share)
    half = float(special.ndtri(0.5 + confidence / 2)) * std
    below, above = expected_losses(mean, std)
    better = float(special.ndtr(mean / std))
    return Posterior(
        mean=mean,
        std=std,
        ci=(mean - half, mean + half),
        chance_to_win=better if higher_is_better else float(special.ndtr(-mean / std)),
        loss_of_treating=below if higher_is_better else above,
        loss_of_control=above if higher_is_better else below,
        scale=scale,
    )


def expected_losses(mean: float, std: float) -> tuple[float, float]:
    """(E[max(-x, 0)], E[max(x, 0)]) of a normal x.

    E[max(x, 0)] = mean Phi(mean / std) + std phi(mean / std)
    """
    z = mean / std
    if abs(z) > CERTAIN_STD_ERRORS:
        return max(-mean, 0.0), max(mean, 0.0)
    density = std * math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    smaller = _tail_loss(-abs(z), std, density)
    larger = abs(mean) + smaller  # E[max(x, 0)] - E[max(-x, 0)] = mean
    return (smaller, larger) if mean >= 0 else (larger, smaller)


def _tail_loss(z: float, std: float, density: float) -> float:
    """The loss std (phi(z) + z Phi(z)) of a z below 0, at least 0."""
    return max(density + std * z * float(special.ndtr(z)), 0.0)
