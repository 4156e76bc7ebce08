"""How PlanOut, Optimizely, Statsig and Eppo draw, bit for bit, so that their history replays.

Each hashes one text per unit (its UTF-8 bytes, as given) to a number of its own range. The
definitions here are what their published documents and open-source SDKs say.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from uplift.errors import DefinitionError

PLANOUT_DIGITS = 15  # hexadecimal, of SHA-1
PLANOUT_SCALE = 0xFFFFFFFFFFFFFFF  # the largest: PlanOut's numbers reach 1
OPTIMIZELY_SEED = 1
OPTIMIZELY_BUCKETS = 10_000
STATSIG_BUCKETS = 10_000  # of a rule's pass percentage
STATSIG_USER_BUCKETS = 1_000  # of a layer
EPPO_SHARDS = 10_000

T = TypeVar("T")


def planout_key(experiment_salt: str, parameter_salt: str, *units: object) -> str:
    """The text PlanOut hashes: `experiment.parameter.unit`, with more units after more dots."""
    return ".".join([experiment_salt, parameter_salt, *map(str, units)])


def planout_hash(key: str) -> int:
    """PlanOut's number, below 2^60. Source: Bakshy, Eckles & Bernstein (2014), WWW."""
    return int(hashlib.sha1(key.encode(), usedforsecurity=False).hexdigest()[:PLANOUT_DIGITS], 16)


def planout_uniform(key: str, low: float = 0.0, high: float = 1.0) -> float:
    """PlanOut's RandomFloat, in [low, high]."""
    return low + (high - low) * (planout_hash(key) / PLANOUT_SCALE)


def planout_integer(key: str, low: int, high: int) -> int:
    """PlanOut's RandomInteger, in [low, high]."""
    return low + planout_hash(key) % (high - low + 1)


def planout_choice(key: str, choices: Sequence[T]) -> T:
    """PlanOut's UniformChoice."""
    return choices[planout_hash(key) % len(choices)]


def planout_weighted_choice(key: str, choices: Sequence[T], weights: Sequence[float]) -> T:
    """PlanOut's WeightedChoice: the first whose cumulative weight reaches a uniform number."""
    if len(choices) != len(weights) or not choices:
        raise DefinitionError(
            f"PlanOut: one weight per choice is expected, got {len(weights)} for {len(choices)}.",
            code="WEIGHTS_INVALID",
        )
    place, reached = planout_uniform(key, 0.0, sum(weights)), 0.0
    for choice, weight in zip(choices, weights, strict=True):
        reached += weight
        if place <= reached:
            return choice
    return choices[-1]  # rounding of the sum


def planout_bernoulli(key: str, probability: float) -> bool:
    """PlanOut's BernoulliTrial."""
    return planout_uniform(key) <= probability


def murmur3_32(data: bytes, *, seed: int) -> int:
    """MurmurHash3, x86, 32 bits. Source: Appleby (2011), public domain."""
    state, mask = seed, 0xFFFFFFFF
    n_whole = len(data) - len(data) % 4
    for start in range(0, n_whole, 4):
        state ^= _murmur_word(int.from_bytes(data[start : start + 4], "little"))
        state = (_turned(state, 13) * 5 + 0xE6546B64) & mask
    if tail := data[n_whole:]:
        state ^= _murmur_word(int.from_bytes(tail, "little"))
    state ^= len(data)
    state = ((state ^ state >> 16) * 0x85EBCA6B) & mask
    state = ((state ^ state >> 13) * 0xC2B2AE35) & mask
    return state ^ state >> 16


def optimizely_bucket(bucketing_id: str, parent_id: object) -> int:
    """Optimizely's bucket, below 10,000; the parent is the experiment, or its group."""
    value = murmur3_32(f"{bucketing_id}{parent_id}".encode(), seed=OPTIMIZELY_SEED)
    return int(value / 2**32 * OPTIMIZELY_BUCKETS)


def optimizely_choice(bucket: int, allocation: Sequence[tuple[T, int]]) -> T | None:
    """The first of (arm, end of its range) whose end is above the bucket; None for none.

    An arm without a name ("") is a range nobody is served in.
    """
    chosen = next((arm for arm, end in allocation if bucket < end), None)
    return None if chosen == "" else chosen


def statsig_hash(key: str) -> int:
    """Statsig's number, below 2^64."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")


def statsig_passes(spec_salt: str, rule_salt: str, unit: str, *, pass_percent: float) -> bool:
    """Whether a unit passes a rule of a Statsig gate or experiment."""
    place = statsig_hash(f"{spec_salt}.{rule_salt}.{unit}") % STATSIG_BUCKETS
    return place < pass_percent * 100


def statsig_user_bucket(salt: str, unit: str) -> int:
    """Statsig's user bucket, below 1,000, by which layers and experiments are cut."""
    return statsig_hash(f"{salt}.{unit}") % STATSIG_USER_BUCKETS


def eppo_shard(key: str, *, total_shards: int = EPPO_SHARDS) -> int:
    """Eppo's shard of a text `salt-subject`."""
    return int(hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()[:8], 16) % total_shards


def eppo_arm(
    subject: str,
    experiment: str,
    *,
    percent_exposure: float,
    variations: Sequence[Mapping[str, Any]],
    total_shards: int = EPPO_SHARDS,
) -> Any:
    """Value of a subject's variation in Eppo's older format; None outside the exposed share.

    variations  each with value, start and end: shards from start, below end
    """
    exposed = eppo_shard(f"exposure-{subject}-{experiment}", total_shards=total_shards)
    if exposed >= percent_exposure * total_shards:
        return None
    place = eppo_shard(f"assignment-{subject}-{experiment}", total_shards=total_shards)
    inside = (each["value"] for each in variations if each["start"] <= place < each["end"])
    return next(inside, None)


def eppo_split(
    subject: str, splits: Sequence[Mapping[str, Any]], *, total_shards: int = EPPO_SHARDS
) -> Any:
    """Variation key of the first split all of whose shards hold the subject, or None.

    splits  of Eppo's universal flag format: variationKey, and shards of a salt and ranges each
    """
    for split in splits:
        if all(_in_shard(subject, shard, total_shards) for shard in split["shards"]):
            return split["variationKey"]
    return None


def _in_shard(subject: str, shard: Mapping[str, Any], total_shards: int) -> bool:
    place = eppo_shard(f"{shard['salt']}-{subject}", total_shards=total_shards)
    return any(part["start"] <= place < part["end"] for part in shard["ranges"])


def _murmur_word(word: int) -> int:
    return (_turned((word * 0xCC9E2D51) & 0xFFFFFFFF, 15) * 0x1B873593) & 0xFFFFFFFF


def _turned(word: int, bits: int) -> int:
    return (word << bits | word >> (32 - bits)) & 0xFFFFFFFF
