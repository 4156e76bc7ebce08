"""Why a training chose this candidate: who was how far behind the best, and what was proven."""

from dataclasses import dataclass

from uplift.evaluation.evidence import gather
from uplift.inference.doubly_robust import average
from uplift.models.choice import PROOF, Contest
from uplift.suite import Suite
from uplift.table import Column, Result, Table
from uplift.trial import Trial

CONSTANT = "constant"


@dataclass(frozen=True)
class Distance:
    """How much worse than the best a candidate is, squared unit of the outcome.

    about_as_good  whether by a standard error of the difference at most
    """

    candidate: str
    behind: float
    std_error: float
    about_as_good: bool


@dataclass(frozen=True, repr=False)
class Choice(Result):
    """Why a candidate was chosen.

    best       the learner with the lowest loss; "constant" when there is no learner
    proof      z of "effects differ between customers as the learners together say"; a choice other
               than one effect for everyone needs `needed`
    distances  of the learners, simplest first, and of one effect for everyone
    """

    outcome: str
    chosen: str
    best: str
    proof: float
    needed: float
    distances: tuple[Distance, ...]

    @property
    def words(self) -> str:
        """The reason as a sentence."""
        said = f"Proof that effects differ: z = {self.proof:.2f}, {self.needed} needed. "
        if self.proof < self.needed:
            return said + "Not proven, so one effect for everyone is chosen."
        if self.chosen == CONSTANT:
            return said + "No learner is closer to the scores than one effect for everyone."
        if self.chosen != self.best:
            return said + (
                f"{self.best} has the lowest loss; {self.chosen} is the simplest learner that is "
                "within a standard error of it."
            )
        if self.chosen == self.distances[0].candidate:
            return said + f"{self.chosen} has the lowest loss and is the simplest."
        return said + (
            f"{self.chosen} has the lowest loss; every simpler learner is worse by more than a "
            "standard error."
        )

    def table(self) -> Table:
        """A row per learner, and one effect for everyone."""
        columns = [
            Column("candidate"),
            Column("behind the best", kind="signed"),
            Column("std error", kind="number"),
            Column("about as good"),
            Column("chosen"),
        ]
        rows = [
            (
                d.candidate,
                d.behind,
                d.std_error,
                "yes" if d.about_as_good else "no",
                "<--" if d.candidate == self.chosen else "",
            )
            for d in self.distances
        ]
        return Table(f"Why {self.chosen}, for {self.outcome}", columns, rows, note=self.words)


def explain_choice(suite: Suite, trial: Trial) -> Choice:
    """Why the training of a suite chose what it chose, by the same scores.

    Refused: what `gather` refuses.
    """
    evidence = gather(suite, trial)
    weight, cluster = evidence.weight, evidence.cluster
    contest = Contest.of(
        suite.candidates, evidence.scores, fold=evidence.fold, weight=weight, cluster=cluster
    )
    losses = {**contest.losses, CONSTANT: contest.constant}

    def mean(name: str) -> float:
        return average(losses[name], weight=weight, cluster=cluster).value

    best = min(contest.losses, key=mean, default=CONSTANT)
    distances = []
    for name, loss in losses.items():
        worse = average(loss - losses[best], weight=weight, cluster=cluster)
        good = worse.value <= worse.std_error
        distances.append(Distance(name, worse.value, worse.std_error, good))
    chosen = contest.chosen(weight=weight, cluster=cluster)
    return Choice(suite.outcome, chosen, best, contest.proof, PROOF, tuple(distances))
