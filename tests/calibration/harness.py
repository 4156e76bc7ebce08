"""Does an interval cover as often as it says? One case, one simulation, and a band it must stay in.

A case simulates an experiment many times with a known truth and hands every replication to the
package's own functions. Its rates must lie within three standard errors of what is promised, at the
number of replications done. Beside them run wrong variants (what a hurried analyst does instead) on
the same data: their rates must lie outside, or the check proves nothing.

Seeds are fixed by the names of the cases. A rate outside its band is simulated once more, with a
new seed and four times the replications, and fails only if that fails too.
"""

import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

Simulate = Callable[[np.random.Generator, int], Mapping[str, np.ndarray]]

BASE_SEED = 20_260_101
SIGMAS = 3.0
RERUN_FACTOR = 4
SMOKE = 500
KS_P_VALUE = 0.001


@dataclass(frozen=True)
class Band:
    """Limits of a rate: `nominal` and three standard errors, on the sides that count."""

    nominal: float
    below: bool = True
    above: bool = True

    def limits(self, reps: int) -> tuple[float, float]:
        half = SIGMAS * np.sqrt(self.nominal * (1 - self.nominal) / reps)
        low = self.nominal - half if self.below else 0.0
        high = self.nominal + half if self.above else 1.0
        return max(float(low), 0.0), min(float(high), 1.0)


@dataclass(frozen=True)
class Uniform:
    """The values are p-values without an effect and must be uniform (Kolmogorov-Smirnov)."""


def around(nominal: float) -> Band:
    """A promise in both directions, e.g. 95 % coverage."""
    return Band(nominal)


def at_least(nominal: float) -> Band:
    """A promise that may be exceeded, e.g. coverage of a conservative interval."""
    return Band(nominal, above=False)


def at_most(nominal: float) -> Band:
    """A promise that may be undercut, e.g. false alarms where metrics are skewed."""
    return Band(nominal, below=False)


@dataclass(frozen=True)
class Measure:
    """One rate of a case: its key in what `simulate` returns, what it says, and its band."""

    key: str
    says: str
    band: Band | Uniform


@dataclass(frozen=True)
class Case:
    """One check.

    row       of the validation plan (S1 to S21), or a name of ours
    simulate  (rng, n_replications) -> by key, an array of one entry per replication (or several):
              hits as 0 and 1, or p-values
    measures  what must hold
    wrong     what must not: the same data read wrongly
    reps      replications of the full run
    smoke     and of the quick one; 0 leaves the case to the full one
    """

    row: str
    name: str
    simulate: Simulate
    measures: Sequence[Measure]
    wrong: Sequence[Measure] = ()
    reps: int = 4_000
    smoke: int = SMOKE

    @property
    def seed(self) -> int:
        return BASE_SEED + zlib.crc32(f"{self.row} {self.name}".encode()) % 1_000_000


@dataclass(frozen=True)
class Rate:
    """What one measure came to.

    value   the rate, or the p-value of the Kolmogorov-Smirnov test
    exact   Clopper-Pearson limits of the rate, 95 %
    band    limits it is held to
    inside  whether it lies in them
    """

    value: float
    exact: tuple[float, float]
    band: tuple[float, float]
    n: int
    seed: int

    @property
    def inside(self) -> bool:
        return bool(self.band[0] <= self.value <= self.band[1])


@dataclass(frozen=True)
class Finding:
    """One measure of one case: as it was first, and again if that was not as it must be."""

    case: Case
    measure: Measure
    wrong: bool
    first: Rate
    again: Rate | None

    @property
    def passed(self) -> bool:
        """A right one is inside, a wrong one outside: at first, or when run again."""
        rates = [self.first] if self.again is None else [self.first, self.again]
        return any(rate.inside is not self.wrong for rate in rates)

    @property
    def rate(self) -> Rate:
        return self.first if self.again is None else self.again

    def __str__(self) -> str:
        kind = "wrong variant" if self.wrong else "rate"
        low, high = self.rate.band
        return (
            f"{self.case.row} {self.case.name}: {self.measure.says}: {kind} "
            f"{self.rate.value:.4f}, band [{low:.4f}, {high:.4f}], seed {self.rate.seed}"
        )


@dataclass(frozen=True)
class Run:
    """All findings of a case.

    seconds  of processor time
    """

    case: Case
    findings: tuple[Finding, ...]
    reps: int
    seconds: float = field(compare=False)

    @property
    def failed(self) -> list[Finding]:
        return [finding for finding in self.findings if not finding.passed]


def run(case: Case, reps: int) -> Run:
    """Simulate a case, and once more what is not as it must be."""
    start = time.process_time()
    first = _simulated(case, reps, case.seed)
    asked = [(m, False) for m in case.measures] + [(m, True) for m in case.wrong]
    rates = [_rate(first, measure, reps, case.seed) for measure, _ in asked]
    again: list[Rate | None] = [None] * len(asked)
    if any(rate.inside is wrong for rate, (_, wrong) in zip(rates, asked, strict=True)):
        seed, more = case.seed + 1, RERUN_FACTOR * reps
        second = _simulated(case, more, seed)
        again = [
            _rate(second, measure, more, seed) if rate.inside is wrong else None
            for rate, (measure, wrong) in zip(rates, asked, strict=True)
        ]
    findings = tuple(
        Finding(case, measure, wrong, rate, other)
        for (measure, wrong), rate, other in zip(asked, rates, again, strict=True)
    )
    return Run(case, findings, reps, time.process_time() - start)


def _simulated(case: Case, reps: int, seed: int) -> Mapping[str, np.ndarray]:
    return case.simulate(np.random.default_rng(seed), reps)


def _rate(found: Mapping[str, np.ndarray], measure: Measure, reps: int, seed: int) -> Rate:
    values = np.asarray(found[measure.key], dtype=np.float64)
    if isinstance(measure.band, Uniform):
        p_value = float(stats.kstest(values, "uniform").pvalue)
        return Rate(p_value, (np.nan, np.nan), (KS_P_VALUE, 1.0), len(values), seed)
    n, hits = len(values), round(float(values.sum()))
    exact = stats.binomtest(hits, n).proportion_ci(0.95, method="exact")
    return Rate(hits / n, (exact.low, exact.high), measure.band.limits(reps), n, seed)


def chunks(reps: int, size: int) -> Iterator[int]:
    """Replications in portions that fit into memory."""
    for start in range(0, reps, size):
        yield min(size, reps - start)


def repeat(
    rng: np.random.Generator,
    reps: int,
    once: Callable[[np.random.Generator, int], Iterator[Mapping[str, float]]],
    *,
    size: int = 500,
) -> dict[str, np.ndarray]:
    """Collect what `once(rng, n)` yields, a mapping per replication, in portions of `size`."""
    # the log ratio of a treatment mean that is nearly 0 overflows; its limit is then infinite
    with np.errstate(over="ignore"):
        rows = [row for n in chunks(reps, size) for row in once(rng, n)]
    return {key: np.array([row[key] for row in rows], dtype=np.float64) for key in rows[0]}
