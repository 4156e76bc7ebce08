"""Several fitted models as one: the mean of fold models, or a stack of learners.

effect_k(x) = offset_k + sum_m weight_mk effect_mk(x)
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from uplift.errors import DefinitionError
from uplift.models.baselines import ConstantEffect, RandomBaseline, RuleBaseline
from uplift.models.crossfit import Sample
from uplift.models.feature_rows import FeatureRows
from uplift.models.kinds import kind_of, of_kind
from uplift.models.learners import EffectModel

Array = npt.NDArray[np.float64]


class Blend(EffectModel):
    """Weighted sum of fitted models; made by `average_of` and `stack_of`, never fitted itself.

    Learned: `members_`, `weights_` (n_members, n_arms - 1) and `offset_` (n_arms - 1,).
    """

    def effects(self, inputs: FeatureRows) -> Array:
        """Effects of encoded rows, (n_rows, n_arms - 1)."""
        total = np.tile(self.offset_, (len(inputs), 1))
        for member, weight in zip(self.members_, self.weights_, strict=True):
            total += weight * member.effects(inputs)
        return total

    def outcomes(self, inputs: FeatureRows) -> Array:
        """Mean outcomes of encoded rows, (n_rows, n_arms), where all members model them."""
        if not self.is_mean:
            return super().outcomes(inputs)
        found = [member.outcomes(inputs) for member in self.members_]
        return np.asarray(np.mean(found, axis=0), dtype=np.float64)

    @property
    def is_mean(self) -> bool:
        """Whether all members count the same and nothing is added."""
        even = bool((self.weights_ == 1 / len(self.members_)).all())
        return even and not self.offset_.any()

    def parts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Weights, and every member's parts under its place."""
        members: list[dict[str, Any]] = []
        forests: dict[str, Any] = {}
        for i, member in enumerate(self.members_):
            constants, own = member.parts()
            forests |= {f"member_{i}_{name}": forest for name, forest in own.items()}
            parameters = member.get_params()
            members.append(
                {"kind": kind_of(member), "parameters": parameters, "constants": constants}
            )
        weights, offset = self.weights_.tolist(), self.offset_.tolist()
        return {"members": members, "weights": weights, "offset": offset}, forests

    def restore(self, constants: Mapping[str, Any], forests: Mapping[str, Any]) -> None:
        """Take back members, weights and offset."""
        self.weights_ = np.array(constants["weights"], dtype=np.float64)
        self.offset_ = np.array(constants["offset"], dtype=np.float64)
        if self.weights_.shape != (len(constants["members"]), self.n_arms_ - 1):
            raise ValueError("weights of other members")
        self.members_ = []
        for i, plain in enumerate(constants["members"]):
            prefix = f"member_{i}_"
            own = {k.removeprefix(prefix): v for k, v in forests.items() if k.startswith(prefix)}
            member = of_kind(str(plain["kind"]))(**plain["parameters"])
            member.share_features(self)
            member.restore(plain["constants"], own)
            self.members_.append(member)

    def _learn(self, sample: Sample) -> None:
        raise DefinitionError(
            "A Blend is made of fitted models. Fit those, or ask `train` for a stack.",
            code="BLEND_NOT_FITTED",
        )


def average_of(members: Sequence[EffectModel]) -> EffectModel:
    """The mean of models that were fitted on the same features."""
    n_treatments = members[0].n_arms_ - 1
    even = np.full((len(members), n_treatments), 1 / len(members))
    return stack_of(members, weights=even, offset=np.zeros(n_treatments))


def stack_of(members: Sequence[EffectModel], *, weights: Array, offset: Array) -> EffectModel:
    """A weighted sum of models that were fitted on the same features.

    weights  (n_members, n_arms - 1)
    offset   (n_arms - 1,)
    """
    blend = Blend()
    blend.members_ = list(members)
    blend.weights_, blend.offset_ = weights, offset
    blend.share_features(members[0])
    return blend


def needs_forests(model: EffectModel) -> bool:
    """Whether a fit on all units costs about what the fits of the folds do."""
    return not isinstance(model, ConstantEffect | RandomBaseline | RuleBaseline)
