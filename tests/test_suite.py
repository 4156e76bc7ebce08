"""The best candidate is the constant effect until a learner is proven better."""

import numpy as np
import pytest

from uplift.suite import Candidate, Suite


class NoModel:
    def predict(self, X):
        return np.zeros((len(X), 1))


def suite(**losses: tuple[float, float]) -> Suite:
    effects = np.zeros((4, 1))
    candidates = {"constant": Candidate("constant", "baseline", "effect", effects, NoModel(), 0, 0)}
    for name, (loss, std_error) in losses.items():
        candidates[name] = Candidate(
            name, "learner", "effect", effects, NoModel(), loss=loss, loss_std_error=std_error
        )
    outcomes = np.array([[0.0, 1.0], [2.0, 2.0], [1.0, 0.0], [0.0, 0.5]])
    return Suite(
        outcome="spend",
        arms=("control", "voucher"),
        features=(),
        units=np.array(["a", "b", "c", "d"], dtype=object),
        fold=np.array([0, 0, 1, 1]),
        predicted={},
        dr_outcomes={"spend": outcomes},
        candidates=candidates,
    )


def test_scores_are_doubly_robust_outcomes_against_control():
    assert suite().scores[:, 0].tolist() == [1.0, 0.0, -1.0, 0.5]


@pytest.mark.parametrize(
    ("losses", "best"),
    [
        ({}, "constant"),
        ({"t": (-1.0, 2.0)}, "constant"),
        ({"t": (-1.0, 0.5), "dr": (-2.0, 0.5)}, "dr"),
        ({"t": (-1.0, 0.5), "dr": (-2.0, 3.0)}, "t"),
    ],
)
def test_the_best_learner_must_beat_the_constant_effect_by_a_standard_error(losses, best):
    assert suite(**losses).best.name == best
