"""A few looks at one experiment, planned ahead, that together err with probability alpha.

A look at information fraction t may spend the error a spending function allows until t. Bounds are
on the z statistic and follow from a recursion over the density of the paths that have not crossed:
on the scale of Brownian motion B(t) = z(t) sqrt(t), with independent increments of variance
t_k - t_(k-1), and drift for a true effect. Fractions are arbitrary; a common choice is
1 / variance of the estimate, divided by that planned.
Source: Armitage, McPherson & Rowe (1969), JRSS A 132; Lan & DeMets (1983), Biometrika 70(3);
Jennison & Turnbull (2000), "Group Sequential Methods", chapters 7 and 19.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import optimize
from scipy.special import ndtr, ndtri

from uplift.errors import DefinitionError

Array = npt.NDArray[np.float64]
Spending = Callable[[Array, float], Array]

LARGEST_Z = 8.0  # a look with less error than this to spend cannot stop the experiment
NODES_PER_STEP = 3.0  # of the grid, per standard deviation of an increment
FEWEST_NODES, MOST_NODES = 129, 4001


# --- spending functions: error spent until the fraction t ----------------------------------------


def obrien_fleming(sides: Literal[1, 2] = 2) -> Spending:
    """Little error early: 2 sides (1 - Phi(z_(1 - alpha / (2 sides)) / sqrt(t))).

    Each side of a two-sided test spends half, so with 2 sides it is 4 (1 - Phi(z_(alpha/4) / ...)).
    """

    def spent(t: Array, alpha: float) -> Array:
        z = -ndtri(alpha / (2 * sides))
        with np.errstate(divide="ignore"):
            return np.asarray(2 * sides * ndtr(-z / np.sqrt(t)))

    return spent


def pocock() -> Spending:
    """Much the same bound at every look: alpha ln(1 + (e - 1) t)."""
    return lambda t, alpha: np.asarray(alpha * np.log1p((math.e - 1) * t))


def power_family(exponent: float = 2.0) -> Spending:
    """A power of time, alpha t^exponent: 1 spends evenly, 3 is near O'Brien and Fleming.

    Source: Kim & DeMets (1987), Biometrika 74(1).
    """
    if not exponent > 0:
        raise DefinitionError(
            f"The exponent of the spending must be above 0, got {exponent}. Usual: 1 to 3.",
            code="SPENDING_INVALID",
        )
    return lambda t, alpha: np.asarray(alpha * t**exponent)


SPENDINGS: dict[str, Callable[[], Spending]] = {
    "obrien_fleming": obrien_fleming,
    "pocock": pocock,
    "power_family": power_family,
}


# --- the boundary --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Boundary:
    """Bounds on z at each look; crossing one ends the experiment with "proven".

    fractions  (n_looks,)  information, as a share of the planned; the last may be below 1
    z          (n_looks,)  bound; with 2 sides its negative counts too
    paths      per look, nodes on the B scale and the mass at them of paths that never crossed,
               when there is no effect
    """

    fractions: Array
    z: Array
    sides: Literal[1, 2]
    paths: tuple[tuple[Array, Array], ...] = field(repr=False)

    @cached_property
    def spent(self) -> Array:
        """Error spent until each look. Returns (n_looks,)."""
        return np.asarray(np.cumsum(self.crossing([0.0])[0]))

    @property
    def alpha_at_look(self) -> Array:
        """The p-value to get below at each look, as if it were the only one. (n_looks,)."""
        return np.asarray(self.sides * ndtr(-self.z))

    def crossing(self, drifts: Sequence[float] | Array) -> Array:
        """Probability of stopping at each look.

        drifts   (n_drifts,)  expected z at full information: effect / std_error at the end
        returns  (n_drifts, n_looks)
        """
        drift = np.asarray(drifts, dtype=np.float64)[:, None]
        steps = np.diff(self.fractions, prepend=0.0)
        parts = []
        for k, (bound, step) in enumerate(
            zip(self.z * np.sqrt(self.fractions), steps, strict=True)
        ):
            nodes, mass = self.paths[k - 1] if k else (np.zeros(1), np.ones(1))
            before = self.fractions[k - 1] if k else 0.0
            weight = mass * np.exp(drift * nodes - drift**2 * before / 2)
            parts.append((weight * self._over(bound, nodes, drift * step, step)).sum(axis=1))
        return np.stack(parts, axis=1)

    def power(self, drift: float) -> float:
        """Probability that any look proves an effect, on either side with 2 sides."""
        return float(self.crossing([drift]).sum())

    def drift_for(self, power: float) -> float:
        """Drift that is proven with probability `power`: what the planned information must give."""
        if not self.spent[-1] < power < 1:
            raise DefinitionError(
                f"power must be between the error ({self.spent[-1]:g}) and 1, got {power}.",
                code="PROBABILITY_INVALID",
            )
        upper = float(self.z[-1]) / math.sqrt(self.fractions[-1]) + 10.0
        return float(optimize.brentq(lambda d: self.power(d) - power, 0.0, upper, xtol=1e-10))

    def inflation(self, power: float = 0.8) -> float:
        """Largest number of units, over that of a plan read once with the same error and power.

        (drift / (z_(1 - alpha / sides) + z_power))^2, where alpha is the error spent by the end
        """
        fixed = float(ndtri(power) - ndtri(self.spent[-1] / self.sides))
        return float((self.drift_for(power) / fixed) ** 2)

    def expected_fraction(self, drift: float = 0.0) -> float:
        """Mean information at which the experiment stops, as a share of the planned."""
        stopped = self.crossing([drift])[0]
        return float(stopped @ self.fractions + (1 - stopped.sum()) * self.fractions[-1])

    def _over(self, bound: float, nodes: Array, shift: Array, step: float) -> Array:
        """P(the next value crosses), from each node; the drift has moved it by `shift`."""
        root = math.sqrt(step)
        over = ndtr((nodes + shift - bound) / root)
        return over + ndtr((-bound - nodes - shift) / root) if self.sides == 2 else over


def spending_boundary(
    fractions: Sequence[float] | Array,
    *,
    alpha: float = 0.05,
    sides: Literal[1, 2] = 2,
    spending: str | Spending = "obrien_fleming",
    smallest_spend: float = 0.0,
) -> Boundary:
    """Bounds that spend `alpha` along the looks as the spending function says.

    fractions       (n_looks,)  increasing, above 0, at most 1; `information_fractions` makes them
                    from counts, also when more units came than planned
    spending        a name of `SPENDINGS`, or a function of (fractions, alpha)
    smallest_spend  a later look with less error than this to spend gets the bound 8 (it cannot
                    stop); only to reproduce programs whose search ends there
    """
    t = _fractions(fractions)
    if not 0 < alpha < 1:
        raise DefinitionError(
            f"alpha must be between 0 and 1, got {alpha}. Usual: 0.05.", code="PROBABILITY_INVALID"
        )
    until = _spending(spending, sides)(t, alpha)
    to_spend = np.diff(until, prepend=0.0)
    if np.any(to_spend < 0) or until[-1] > alpha * (1 + 1e-9):
        raise DefinitionError(
            "A spending function must not fall, and must end at alpha or below. Check it.",
            code="SPENDING_INVALID",
        )
    too_small = np.zeros(len(t), dtype=bool)
    too_small[1:] = to_spend[1:] / sides < smallest_spend

    def bound(k: int, over: Callable[[float], float]) -> float:
        def excess(z: float) -> float:
            return over(z * math.sqrt(t[k])) - float(to_spend[k])

        if too_small[k] or excess(LARGEST_Z) >= 0:
            return LARGEST_Z
        lowest = 0.0 if sides == 2 else -LARGEST_Z
        return float(optimize.brentq(excess, lowest, LARGEST_Z, xtol=1e-12))

    return _build(t, sides, bound)


def boundary_of(
    z: Sequence[float] | Array, fractions: Sequence[float] | Array, *, sides: Literal[1, 2] = 2
) -> Boundary:
    """The boundary with these bounds on z: what naive peeking, say, would really do.

    Always-valid readings at planned moments are one, with `always_valid.multipliers` as z.
    """
    t, given = _fractions(fractions), np.asarray(z, dtype=np.float64)
    if given.shape != t.shape or not np.all(given > (0 if sides == 2 else -np.inf)):
        raise DefinitionError(
            f"There must be one bound per look, above 0 with 2 sides; got {given.tolist()}.",
            code="BOUNDARY_INVALID",
        )
    return _build(t, sides, lambda k, over: float(given[k]))


def information_fractions(n_units: Sequence[float] | Array, *, planned: float) -> Array:
    """Fractions of looks at cumulative counts: n / max(planned, largest n).

    When more units came than planned, the largest count is all the information there is, and the
    fractions of the looks before it shrink.
    """
    n = np.asarray(n_units, dtype=np.float64)
    return np.asarray(n / max(planned, float(n.max())))


def _build(
    t: Array, sides: Literal[1, 2], bound: Callable[[int, Callable[[float], float]], float]
) -> Boundary:
    """Go along the looks: find the bound, then the density of the paths that stay inside."""
    steps = np.diff(t, prepend=0.0)
    nodes, mass, z, paths = np.zeros(1), np.ones(1), [], []
    for k, step in enumerate(steps):
        root = math.sqrt(step)

        def over(b: float, nodes: Array = nodes, mass: Array = mass, root: float = root) -> float:
            crossed = ndtr((nodes - b) / root)
            if sides == 2:
                crossed = crossed + ndtr((-b - nodes) / root)
            return float(mass @ crossed)

        z.append(bound(k, over))
        if k + 1 < len(t):
            smallest = math.sqrt(min(step, steps[k + 1]))
            new, weights = _grid(z[-1], math.sqrt(t[k]), smallest, sides)
            kernel = np.exp(-0.5 * ((new[:, None] - nodes[None, :]) / root) ** 2)
            mass = weights * (kernel @ mass) / (root * math.sqrt(2 * math.pi))
            nodes = new
        paths.append((nodes, mass))
    return Boundary(t, np.array(z), sides, tuple(paths))


def _grid(z: float, scale: float, smallest: float, sides: int) -> tuple[Array, Array]:
    """Simpson nodes and weights over the region where the experiment goes on."""
    top = min(z, LARGEST_Z) * scale
    low = -top if sides == 2 else -LARGEST_Z * scale
    wanted = math.ceil(NODES_PER_STEP * (top - low) / smallest)
    n = min(max(wanted, FEWEST_NODES), MOST_NODES) | 1
    nodes = np.linspace(low, top, n)
    weights = np.where(np.arange(n) % 2, 4.0, 2.0)
    weights[[0, -1]] = 1.0
    return nodes, weights * (nodes[1] - nodes[0]) / 3


def _spending(spending: str | Spending, sides: Literal[1, 2]) -> Spending:
    if callable(spending):
        return spending
    if spending not in SPENDINGS:
        raise DefinitionError(
            f"There is no spending {spending!r}; known: {', '.join(SPENDINGS)}.",
            code="SPENDING_INVALID",
        )
    return obrien_fleming(sides) if spending == "obrien_fleming" else SPENDINGS[spending]()


def _fractions(fractions: Sequence[float] | Array) -> Array:
    t = np.asarray(fractions, dtype=np.float64)
    if t.ndim != 1 or len(t) == 0 or not (t[0] > 0 and t[-1] <= 1 and np.all(np.diff(t) > 0)):
        raise DefinitionError(
            f"Information fractions must rise from above 0 to at most 1, got {t.tolist()}. "
            "Use information_fractions() to make them from counts.",
            code="FRACTIONS_INVALID",
        )
    return t
