"""Revenue in two parts: who buys, and how much a buyer spends.

Spend per customer is 0 for most. Its mean, variance and skewness follow from the share of buyers
and the moments of a buyer's spend, and so does what a campaign can be seen to do: more buyers shows
in the conversion test first, larger baskets show in the spend test only.
Source: Duan, Manning, Morris & Newhouse (1983), Journal of Business & Economic Statistics 1(2).
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from uplift.errors import DataError, DefinitionError
from uplift.inference.power import power_of, power_of_proportion
from uplift.inference.skewness import Shape, Tails

Array = npt.NDArray[np.float64]
Path = Literal["buyers", "basket", "both"]
PATHS: tuple[Path, ...] = ("buyers", "basket", "both")


@dataclass(frozen=True, kw_only=True)
class TwoPart:
    """Share of buyers, and the shape of what a buyer spends."""

    buyer_share: float
    basket: Shape

    def __post_init__(self) -> None:
        if not 0 < self.buyer_share <= 1:
            raise DefinitionError(
                f"The share of buyers must be in (0, 1], got {self.buyer_share}.",
                code="PROPORTION_INVALID",
            )

    @classmethod
    def of(cls, values: Any) -> "TwoPart":
        """Of measured spend, (n_units,), zeros included; at least 2 units must have bought."""
        y = np.asarray(values, dtype=np.float64)
        bought = y[y != 0]
        if len(bought) < 2:
            raise DataError(
                f"Only {len(bought)} of {len(y)} units have a value other than 0, too few to "
                "describe a basket. Take a longer history.",
                code="ARM_TOO_SMALL",
            )
        return cls(buyer_share=len(bought) / len(y), basket=Shape.of(bought))

    @classmethod
    def lognormal(cls, *, buyer_share: float, mean: float, std: float) -> "TwoPart":
        """With lognormal baskets of this mean and standard deviation."""
        w = 1 + (std / mean) ** 2
        variance = std**2
        third = variance**1.5 * (w + 2) * math.sqrt(w - 1)
        fourth = variance**2 * (w**4 + 2 * w**3 + 3 * w**2 - 3)
        return cls(
            buyer_share=buyer_share,
            basket=Shape(mean=mean, variance=variance, third=third, fourth=fourth),
        )

    @property
    def whole(self) -> Shape:
        """The shape of spend per customer, buyers or not.

        mean      share m
        variance  share (v + m^2) - mean^2
        third     share (third + 3 m v + m^3) - 3 mean E[y^2] + 2 mean^3, and so on
        """
        p, m, v = self.buyer_share, self.basket.mean, self.basket.variance
        c3, c4 = self.basket.third, self.basket.fourth
        e1, e2 = p * m, p * (v + m**2)
        e3 = p * (c3 + 3 * m * v + m**3)
        e4 = p * (c4 + 4 * m * c3 + 6 * m**2 * v + m**4)
        return Shape(
            mean=e1,
            variance=e2 - e1**2,
            third=e3 - 3 * e1 * e2 + 2 * e1**3,
            fourth=e4 - 4 * e1 * e3 + 6 * e1**2 * e2 - 3 * e1**4,
        )

    def changed(self, relative_effect: float, path: Path) -> "TwoPart":
        """With spend per customer raised by `relative_effect`.

        path  "buyers": that much more buyers; "basket": every basket that much larger; "both": the
              square root of 1 + relative_effect each
        """
        if path not in PATHS:
            raise DefinitionError(
                f"path must be one of {', '.join(PATHS)}, got {path!r}.", code="PATH_INVALID"
            )
        factor = 1 + relative_effect
        buyers = {"buyers": factor, "basket": 1.0, "both": math.sqrt(factor)}[path]
        share = self.buyer_share * buyers
        if not 0 < share <= 1:
            raise DefinitionError(
                f"A relative effect of {relative_effect} makes the share of buyers {share}. "
                "Plan a smaller one.",
                code="PROPORTION_INVALID",
            )
        return replace(self, buyer_share=share, basket=self.basket.scaled(factor / buyers))


@dataclass(frozen=True, kw_only=True)
class TwoPartPower:
    """Powers of both tests when the effect comes along one path."""

    path: Path
    conversion: float
    spend: float
    either: float


def two_part_power(
    relative_effect: float,
    *,
    control: TwoPart,
    n_control: float,
    n_treatment: float,
    confidence: float = 0.95,
) -> tuple[TwoPartPower, ...]:
    """What the tests of conversion and of spend see of the same rise in spend per customer.

    either  a lower bound of the power of both tests together, each with half of the error
    returns one row per path: buyers, basket, both
    """
    arms = {"n_control": n_control, "n_treatment": n_treatment}
    half = 0.5 + confidence / 2

    def row(path: Path) -> TwoPartPower:
        treated = control.changed(relative_effect, path)

        def conversion(level: float) -> float:
            change = treated.buyer_share - control.buyer_share
            if abs(change) < 1e-15:
                return 1 - level
            return power_of_proportion(control.buyer_share, change, **arms, confidence=level)

        def spend(level: float) -> float:
            before, after = control.whole, treated.whole
            return power_of(
                after.mean - before.mean,
                **arms,
                control_variance=before.variance,
                treatment_variance=after.variance,
                confidence=level,
            )

        return TwoPartPower(
            path=path,
            conversion=conversion(confidence),
            spend=spend(confidence),
            either=max(conversion(half), spend(half)),
        )

    return tuple(row(path) for path in PATHS)


def two_part_detectable(
    *,
    control: TwoPart,
    n_control: float,
    n_treatment: float,
    path: Path,
    test: Literal["conversion", "spend"],
    confidence: float = 0.95,
    power: float = 0.8,
) -> float:
    """Smallest relative rise of spend per customer that one test proves with `power`.

    nan when none does: the test of conversion never sees larger baskets, and buyers end at 100 %.
    """
    row = PATHS.index(path)

    def shortfall(relative_effect: float) -> float:
        rows = two_part_power(
            relative_effect,
            control=control,
            n_control=n_control,
            n_treatment=n_treatment,
            confidence=confidence,
        )
        return float(getattr(rows[row], test)) - power

    limit = 1 / control.buyer_share - 1  # everyone buys
    if test == "conversion" and path == "basket":
        return math.nan
    largest = limit * (1 - 1e-9)
    if shortfall(largest) < 0:
        return math.nan
    return float(optimize.brentq(shortfall, 0.0, largest, xtol=1e-10))


def simulated_tails(
    *,
    control: TwoPart,
    treatment: TwoPart,
    n_control: int,
    n_treatment: int,
    confidence: float = 0.95,
    n_draws: int = 4_000,
    seed: int = 1,
) -> Tails:
    """How often Welch's t test says "better" and "worse", by drawing whole experiments.

    For shapes whose `tails_of_t_test` is not `trusted`. Baskets are drawn lognormal with the mean
    and variance given, so the third and fourth moments are those of a lognormal.
    """
    rng = np.random.default_rng(seed)
    control_mean, control_error = _drawn(control, n_control, n_draws, rng)
    treated_mean, treated_error = _drawn(treatment, n_treatment, n_draws, rng)
    variance = control_error + treated_error
    spread = control_error**2 / (n_control - 1) + treated_error**2 / (n_treatment - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(variance > 0, (treated_mean - control_mean) / np.sqrt(variance), 0.0)
        df = np.where(spread > 0, variance**2 / spread, 1.0)
    bound = stats.t.ppf(0.5 + confidence / 2, df)
    return Tails(upper=float(np.mean(t > bound)), lower=float(np.mean(t < -bound)))


def _drawn(
    part: TwoPart, n_units: int, n_draws: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Mean and squared standard error of each drawn arm. Each (n_draws,)."""
    spread = math.log1p(part.basket.variance / part.basket.mean**2)
    middle = math.log(part.basket.mean) - spread / 2
    buyers = rng.binomial(n_units, part.buyer_share, n_draws)
    spent = rng.lognormal(middle, math.sqrt(spread), int(buyers.sum()))
    draw = np.repeat(np.arange(n_draws), buyers)
    total = np.bincount(draw, weights=spent, minlength=n_draws)
    squares = np.bincount(draw, weights=spent**2, minlength=n_draws)
    variance = (squares - total**2 / n_units) / (n_units - 1)
    return total / n_units, np.maximum(variance, 0.0) / n_units
