"""Stacking and choosing by sums that leave out the fold judged.

What scores a fold is chosen on the others, so that the scores of a stack, and of the choice, are as
honest as those of its members. Needs per fold only the sums of products of effects and scores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from uplift.inference.doubly_robust import Average, average
from uplift.suite import Candidate

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

PROOF = 1.645  # of a stack's evidence, for anything but one effect for everyone: one in twenty
STACK = "stack"  # of the learners that enter beside it; the least simple
NOISE = 1e-9  # of the largest spread; what varies less is one effect for everyone


@dataclass(frozen=True, eq=False)
class Sums:
    """What is kept of one treatment's effects in every fold.

    weight    (n_folds,)
    score     (n_folds,)                       sum of w score
    effect    (n_folds, n_members)             sum of w effect
    products  (n_folds, n_members, n_members)  sum of w effect effect', centred within the fold
    gains     (n_folds, n_members)             sum of w effect score, centred within the fold
    """

    weight: Array
    score: Array
    effect: Array
    products: Array
    gains: Array

    @classmethod
    def of(cls, effects: Array, scores: Array, *, fold: IntArray, weight: Array | None) -> "Sums":
        """Sums of effects, (n_units, n_members), and scores, (n_units,)."""
        w = np.ones(len(scores)) if weight is None else weight
        rows = []
        for f in range(int(fold.max()) + 1):
            inside = fold == f
            wf, t, g = w[inside], effects[inside], scores[inside]
            mass = wf.sum()
            centred = t - (wf @ t) / mass
            left = g - (wf @ g) / mass
            weighted = centred * wf[:, None]
            rows.append((mass, wf @ g, wf @ t, weighted.T @ centred, weighted.T @ left))
        return cls(*(np.array(column) for column in zip(*rows, strict=True)))

    def blend(self, *, without: int | None = None) -> tuple[Array, float]:
        """Weights of the members and the offset, from all folds or all but one.

        Non-negative least squares of the scores on the effects, all centred: the weights need not
        add up to one, so effects that promise too much are shrunk. The offset makes the mean
        effect that of the scores.
        """
        kept = np.arange(len(self.weight)) != (-1 if without is None else without)
        weights = non_negative(self.products[kept].sum(axis=0), self.gains[kept].sum(axis=0))
        mass = float(self.weight[kept].sum())
        mean_score = float(self.score[kept].sum()) / mass
        return weights, mean_score - float(weights @ self.effect[kept].sum(axis=0)) / mass


def non_negative(products: Array, gains: Array) -> Array:
    """Non-negative least squares from its normal equations, (n_members,).

    min c' products c - 2 c' gains,  c >= 0
    """
    scale = np.sqrt(np.diag(products))
    used = scale > NOISE * max(float(scale.max(initial=0)), 1e-300)
    weights = np.zeros(len(gains))
    if not used.any():
        return weights
    unit = products[np.ix_(used, used)] / np.outer(scale[used], scale[used])
    # a triangle whose square is the matrix turns the normal equations back into rows
    values, vectors = np.linalg.eigh(unit)
    kept = values > 1e-10 * values[-1]
    root = np.sqrt(values[kept])[:, None] * vectors[:, kept].T
    target = (vectors[:, kept].T @ (gains[used] / scale[used])) / np.sqrt(values[kept])
    weights[used] = nnls(root, target)[0] / scale[used]
    return weights


def stacked(
    effects: Sequence[Array], scores: Array, *, fold: IntArray, weight: Array | None
) -> "Stack":
    """A stack of members' out-of-fold effects, each (n_units, n_arms - 1).

    scores  (n_units, n_arms - 1)  doubly robust effects
    """
    n_units, n_treatments = scores.shape
    out_of_fold = np.empty((n_units, n_treatments))
    weights = np.empty((len(effects), n_treatments))
    offset = np.empty(n_treatments)
    for k in range(n_treatments):
        together = np.column_stack([one[:, k] for one in effects])
        sums = Sums.of(together, scores[:, k], fold=fold, weight=weight)
        weights[:, k], offset[k] = sums.blend()
        for f in range(int(fold.max()) + 1):
            inside = fold == f
            of_fold, shift = sums.blend(without=f)
            out_of_fold[inside, k] = together[inside] @ of_fold + shift
    return Stack(out_of_fold, weights, offset)


@dataclass(frozen=True, eq=False)
class Stack:
    """Effects of a stack out of fold, and what makes one of its members' models.

    effects  (n_units, n_arms - 1)
    weights  (n_members, n_arms - 1)
    offset   (n_arms - 1,)
    """

    effects: Array
    weights: Array
    offset: Array


def distances(effects: Array, scores: Array) -> Array:
    """Squared distance of effects to the scores, summed over treatments, (n_units,)."""
    return np.asarray(((scores - effects) ** 2).sum(axis=1), dtype=np.float64)


def evidence(
    effects: Array,
    scores: Array,
    *,
    fold: IntArray,
    weight: Array | None = None,
    cluster: IntArray | None = None,
) -> float:
    """How surely effects order customers: z of the slope of the scores on them, within folds.

    Of the order alone: effects that promise twice too much have the same. 0 when they do not
    differ. Standard error by White (1980), by cluster.

    effects, scores  (n_units, n_arms - 1)
    """
    w = np.ones(len(scores)) if weight is None else weight
    mass = np.bincount(fold, weights=w)
    centred = []
    for column in (*effects.T, *scores.T):
        centred.append(column - (np.bincount(fold, weights=w * column) / mass)[fold])
    u, v = np.stack(centred[: effects.shape[1]]), np.stack(centred[effects.shape[1] :])
    squares = float((w * u * u).sum())
    if squares <= (NOISE * float(np.abs(effects).max(initial=0))) ** 2 * float(w.sum()):
        return 0.0
    slope = float((w * u * v).sum()) / squares
    moment = (w * u * (v - slope * u)).sum(axis=0)
    if cluster is not None:
        moment = np.bincount(cluster, weights=moment)
    spread = float(np.sqrt(moment @ moment))
    return slope * squares / spread if spread > 0 else 0.0


def preferred(
    losses: Mapping[str, Array],
    *,
    proof: float,
    constant: Array,
    weight: Array | None,
    cluster: IntArray | None,
) -> str | None:
    """The simplest candidate that is no worse than the best by more than a standard error.

    None when the proof falls short, or when even the best is no better than one effect for
    everyone. The best of several would look proven too often: the proof is of one thing, the
    stack of all.

    losses    by candidate, simplest first: distance of each unit's effect to its score, (n_units,)
    proof     `evidence` of the stack
    constant  as `losses`, of one effect for everyone
    """

    def mean(loss: Array) -> Average:
        return average(loss, weight=weight, cluster=cluster)

    if not losses or proof < PROOF:
        return None
    best = min(losses, key=lambda name: mean(losses[name]).value)
    if mean(losses[best] - constant).value >= 0:
        return None
    for name, loss in losses.items():
        worse = mean(loss - losses[best])
        if worse.value <= worse.std_error:
            return name
    return best


@dataclass(frozen=True, eq=False)
class Contest:
    """What a choice is made of.

    losses    by learner, simplest first: distance of each unit's effect to its score, (n_units,)
    constant  the same of one effect for everyone
    proof     `evidence` of the stack of all learners; 0 without any
    """

    losses: Mapping[str, Array]
    constant: Array
    proof: float

    @classmethod
    def of(
        cls,
        candidates: Mapping[str, Candidate],
        scores: Array,
        *,
        fold: IntArray,
        weight: Array | None,
        cluster: IntArray | None,
    ) -> "Contest":
        """Of the learners that give effects; they are named simplest first, a stack is last."""
        learners = {
            name: candidates[name].effects
            for name in sorted(candidates, key=lambda name: name == STACK)
            if candidates[name].kind == "learner" and candidates[name].loss is not None
        }
        members = [effects for name, effects in learners.items() if name != STACK]
        proof = 0.0
        if members:
            together = stacked(members, scores, fold=fold, weight=weight)
            proof = evidence(together.effects, scores, fold=fold, weight=weight, cluster=cluster)
        losses = {name: distances(effects, scores) for name, effects in learners.items()}
        return cls(losses, distances(candidates["constant"].effects, scores), proof)

    def chosen(self, *, weight: Array | None, cluster: IntArray | None) -> str:
        """The learner preferred; "constant" when none is proven."""
        name = preferred(
            self.losses, proof=self.proof, constant=self.constant, weight=weight, cluster=cluster
        )
        return name or "constant"
