"""Factorial designs: the effect of each factor over all customers, and whether factors interact.

A main effect compares the margins (all cells with a level against all with the first level), so it
uses every customer. An interaction is the difference of two effects: with equal cells, one as large
as a main effect takes four times the customers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product
from typing import Literal

import numpy as np
import numpy.typing as npt

from uplift.experiment import Experiment
from uplift.inference.factorial import contrast_variance, interaction_contrast
from uplift.looks import planned_looks
from uplift.sizing.baseline import Baseline
from uplift.sizing.proof import Proof

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FactorAnswer:
    """One contrast of the primary metric, in its unit.

    kind         main: a level against the factor's first one, averaged over the other factors;
                 interaction: how much the first factor's effect changes with the second's level
    sought       the smallest effect worth acting on; of an interaction as large a difference of
                 effects; None if the plan states none
    n_needed     units of the whole experiment that prove the sought one with the wanted power
    """

    name: str
    kind: Literal["main", "interaction"]
    mde: float
    mde_relative: float | None
    sought: float | None
    power: float | None
    n_needed: int | None


def factor_answers(
    experiment: Experiment,
    baseline: Baseline,
    *,
    n_units: int,
    power: float,
    sought: float | None,
) -> tuple[FactorAnswer, ...]:
    """Every main effect and two-way interaction; they share the plan's error equally, as do looks.

    A contrast of variance v per unit of the experiment is planned as the difference of two halves
    of variance v / 4 each, which has the same error.
    """
    contrasts = list(_contrasts(experiment))
    shares = _shares(experiment)
    answers = []
    for name, kind, weights in contrasts:
        unit = contrast_variance(weights, n_units=shares, variance=baseline.variance)
        proof = Proof(
            control_variance=unit / 4,
            treatment_variance=unit / 4,
            shares=(0.5, 0.5),
            n_units=n_units,
            alpha=(1 - experiment.analysis.confidence) / len(contrasts),
            looks=planned_looks(experiment),
        )
        mde = proof.detectable(power)
        answers.append(
            FactorAnswer(
                name=name,
                kind=kind,
                mde=mde,
                mde_relative=mde / baseline.mean if baseline.mean > 0 else None,
                sought=sought,
                power=proof.power(sought) if sought else None,
                n_needed=proof.units_needed(sought, power) if sought else None,
            )
        )
    return tuple(answers)


def cost_of_interactions(experiment: Experiment) -> float:
    """Units an interaction takes over those of a main effect of the same size: 4 with equal cells.

    The hardest interaction against the hardest main effect.
    """
    shares = _shares(experiment)
    spread: dict[str, float] = {}
    for _, kind, weights in _contrasts(experiment):
        variance = contrast_variance(weights, n_units=shares, variance=1.0)
        spread[kind] = max(spread.get(kind, 0.0), variance)
    return spread["interaction"] / spread["main"]


def _contrasts(
    experiment: Experiment,
) -> Iterator[tuple[str, Literal["main", "interaction"], Array]]:
    """Name, kind and weights of each contrast; weights have an axis per factor."""
    factors = experiment.factors
    sizes = [len(factor.levels) for factor in factors]
    for i, factor in enumerate(factors):
        for level in range(1, sizes[i]):
            along = np.zeros(sizes[i])
            along[level], along[0] = 1.0, -1.0
            yield f"{factor.name}: {factor.levels[level]}", "main", _averaged({i: along}, sizes)
    for i, j in combinations(range(len(factors)), 2):
        for first, second in product(range(1, sizes[i]), range(1, sizes[j])):
            plane = interaction_contrast(sizes[i], sizes[j], first=first, second=second)
            name = " × ".join(
                f"{factors[k].name}: {factors[k].levels[at]}" for k, at in ((i, first), (j, second))
            )
            weights = np.moveaxis(
                np.multiply.outer(plane, _averaged({}, _without(sizes, i, j))), (0, 1), (i, j)
            )
            yield name, "interaction", weights


def _averaged(along: dict[int, Array], sizes: list[int]) -> Array:
    """Outer product of the given axes and of equal weights over the others."""
    weights = np.ones(())
    for i, size in enumerate(sizes):
        weights = np.multiply.outer(weights, along.get(i, np.full(size, 1 / size)))
    return np.asarray(weights, dtype=np.float64)


def _without(sizes: list[int], *left_out: int) -> list[int]:
    return [size for i, size in enumerate(sizes) if i not in left_out]


def _shares(experiment: Experiment) -> Array:
    """Share of each cell, with an axis per factor."""
    shares = np.zeros([len(factor.levels) for factor in experiment.factors])
    for arm in experiment.arms:
        cell = tuple(f.levels.index(arm.levels[f.name]) for f in experiment.factors)
        shares[cell] = float(arm.share)
    return shares
