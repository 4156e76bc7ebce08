"""Whole experiments as GrowthBook runs them: from an experiment and attributes to a variation.

The order of the steps is GrowthBook's ("Build your own SDK"): overrides by URL and by the caller;
inactive; no id; filters or namespace; condition, groups, URL; bucket; forced value; QA mode;
stopped. Sticky buckets are not replayed. Prerequisites (`parentConditions`) and visual URL
targeting (`urlPatterns`) are refused, not guessed: they need more than is given here.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlparse

import numpy as np

from uplift.assignment.growthbook import (
    Characters,
    IntArray,
    bucket_ranges,
    choose_variation,
    choose_variations,
    growthbook_hash,
    growthbook_hashes,
    in_namespace,
    in_range,
)
from uplift.assignment.growthbook_conditions import matches
from uplift.assignment.text_blocks import texts_of
from uplift.errors import DefinitionError

UNSUPPORTED = ("parentConditions", "urlPatterns")
NEEDS_ATTRIBUTES = ("condition", "url", "groups", "include")
FIXED_NOTATION = (1e-6, 1e21)  # outside it JavaScript prints an exponent

Definition = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Visit:
    """What GrowthBook knows beside the attributes."""

    url: str = ""
    enabled: bool = True
    qa_mode: bool = False
    forced_variations: Mapping[str, int] = field(default_factory=dict)
    groups: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a unit gets.

    value          of its variation; the first one's when it is not in the experiment
    variation      its position
    in_experiment  whether the unit counts
    hash_used      whether the hash decided, and nothing forced
    bucket         the hash, where it decided
    """

    value: Any
    variation: int
    in_experiment: bool
    hash_used: bool = False
    bucket: float | None = None


def run_experiment(
    experiment: Definition,
    attributes: Mapping[str, Any],
    *,
    visit: Visit | None = None,
    characters: Characters = "utf16",
) -> Outcome:
    """The outcome of a GrowthBook experiment for one unit.

    experiment  as GrowthBook writes it in JSON: key, variations, and optionally weights, coverage,
                ranges, seed, hashVersion, hashAttribute, namespace, filters, condition, groups,
                url, active, status, force
    attributes  of the unit, by name; the one named by `hashAttribute` (`id`) is its id

    Errors: GROWTHBOOK_UNSUPPORTED.
    """
    _refuse_unsupported(experiment)
    seen = visit or Visit()
    variations = experiment["variations"]
    outside = Outcome(value=variations[0] if variations else None, variation=0, in_experiment=False)
    if len(variations) < 2 or not seen.enabled:
        return outside
    by_url = _forced_by_url(experiment, seen.url)
    forced = seen.forced_variations.get(experiment["key"]) if by_url is None else by_url
    if forced is not None:
        return _forced(experiment, forced)
    unit = hash_value(attributes.get(_attribute(experiment)))
    if not _is_running(experiment) or not unit:
        return outside
    if not _is_targeted(experiment, attributes, unit, seen, characters):
        return outside
    place = growthbook_hash(
        _seed(experiment), unit, version=_version(experiment), characters=characters
    )
    chosen = -1 if place is None else choose_variation(place, _ranges(experiment))
    if chosen < 0:
        return outside
    if experiment.get("force") is not None:
        return _forced(experiment, experiment["force"])
    if seen.qa_mode or experiment.get("status") == "stopped":
        return outside
    return Outcome(
        value=variations[chosen],
        variation=chosen,
        in_experiment=True,
        hash_used=True,
        bucket=place,
    )


def draw_variations(
    experiment: Definition, units: Any, *, characters: Characters = "utf16"
) -> IntArray:
    """Variation of each id by a GrowthBook experiment, -1 for not in it. Returns (n_units,).

    units  values of its hash attribute, as text

    Errors: GROWTHBOOK_UNSUPPORTED, also when the experiment asks for what a list of ids does not
    tell: a condition, groups, a URL, a filter on another attribute. Use `run_experiment` there.
    """
    _refuse_unsupported(experiment, also=NEEDS_ATTRIBUTES)
    ids = list(texts_of(units))
    outside = np.full(len(ids), -1, dtype=np.int64)
    stopped = experiment.get("status") == "stopped" and experiment.get("force") is None
    if len(experiment["variations"]) < 2 or not _is_running(experiment) or stopped:
        return outside
    if _version(experiment) not in (1, 2):
        return outside
    places = growthbook_hashes(
        ids,
        seed=_seed(experiment),
        version=_version(experiment),
        characters=characters,
    )
    chosen = choose_variations(places, _ranges(experiment))
    if experiment.get("force") is not None:
        chosen[chosen >= 0] = experiment["force"]
    chosen[~_inside_filters(experiment, ids, characters)] = -1
    chosen[[not text for text in ids]] = -1
    return np.where(chosen < len(experiment["variations"]), chosen, -1)


def hash_value(value: Any) -> str:
    """An attribute as the text that is hashed, numbers as JavaScript prints them; "" for no id."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or value == 0:
        return ""
    number = float(value)
    return _as_javascript(number) if math.isfinite(number) else ""


def _as_javascript(number: float) -> str:
    shortest = repr(number).removesuffix(".0")
    if FIXED_NOTATION[0] <= abs(number) < FIXED_NOTATION[1]:
        return f"{Decimal(shortest):f}"
    mantissa, _, exponent = shortest.partition("e")
    return f"{mantissa}e{int(exponent):+d}"


def _refuse_unsupported(experiment: Definition, *, also: tuple[str, ...] = ()) -> None:
    found = [name for name in (*UNSUPPORTED, *also) if experiment.get(name)]
    attribute = _attribute(experiment)
    if also:
        found += [
            f"a filter on {each['attribute']!r}"
            for each in experiment.get("filters") or []
            if each.get("attribute", "id") != attribute and "attribute" in each
        ]
    if found:
        raise DefinitionError(
            f"GrowthBook experiment {experiment.get('key')!r}: {', '.join(found)} cannot be "
            "replayed from what is given. Take the assignments that GrowthBook logged.",
            code="GROWTHBOOK_UNSUPPORTED",
        )


def _attribute(experiment: Definition) -> str:
    return experiment.get("hashAttribute") or "id"


def _seed(experiment: Definition) -> str:
    return str(experiment.get("seed") or experiment["key"])


def _version(experiment: Definition) -> Any:
    return experiment.get("hashVersion") or 1


def _ranges(experiment: Definition) -> Any:
    return experiment.get("ranges") or bucket_ranges(
        len(experiment["variations"]),
        coverage=experiment.get("coverage"),
        weights=experiment.get("weights"),
    )


def _is_running(experiment: Definition) -> bool:
    return experiment.get("active") is not False and experiment.get("status") != "draft"


def _forced(experiment: Definition, variation: int) -> Outcome:
    known = 0 <= variation < len(experiment["variations"])
    position = variation if known else 0
    return Outcome(
        value=experiment["variations"][position], variation=position, in_experiment=known
    )


def _forced_by_url(experiment: Definition, url: str) -> int | None:
    """`?key=1` in the address asks for variation 1."""
    try:
        asked = parse_qs(urlparse(url).query).get(experiment["key"], [""])[0]
    except ValueError:
        return None
    if not (asked.isascii() and asked.isdigit()) or len(asked) > 9:
        return None
    return int(asked) if int(asked) < len(experiment["variations"]) else None


def _is_targeted(
    experiment: Definition,
    attributes: Mapping[str, Any],
    unit: str,
    seen: Visit,
    characters: Characters,
) -> bool:
    if experiment.get("filters"):
        inside = all(_in_filter(each, attributes, characters) for each in experiment["filters"])
    else:
        namespace = experiment.get("namespace")
        inside = not namespace or in_namespace(unit, namespace, characters=characters)
    include = experiment.get("include")
    groups = experiment.get("groups")
    url = experiment.get("url")
    return (
        inside
        and (include is None or bool(include()))
        and matches(experiment.get("condition") or {}, attributes)
        and (not groups or any(seen.groups.get(group) for group in groups))
        and (not url or _url_matches(url, seen.url))
    )


def _in_filter(
    each: Mapping[str, Any], attributes: Mapping[str, Any], characters: Characters
) -> bool:
    unit = hash_value(attributes.get(each.get("attribute", "id")))
    place = growthbook_hash(
        each.get("seed", ""), unit, version=each.get("hashVersion", 2), characters=characters
    )
    if not unit or place is None:
        return False
    return any(in_range(place, bounds) for bounds in each["ranges"])


def _inside_filters(experiment: Definition, ids: list[str], characters: Characters) -> Any:
    """Whether each id passes the filters, or without any the namespace. Returns (n_units,)."""
    filters = experiment.get("filters") or []
    if not filters and experiment.get("namespace"):
        name, *bounds = experiment["namespace"]
        filters = [{"seed": f"__{name}", "hashVersion": 1, "ranges": [bounds]}]
    inside = np.ones(len(ids), dtype=np.bool_)
    for each in filters:
        places = growthbook_hashes(
            ids,
            seed=each.get("seed", ""),
            version=each.get("hashVersion", 2),
            characters=characters,
        )
        inside &= choose_variations(places, each["ranges"]) >= 0
    return inside


def _url_matches(pattern: str, url: str) -> bool:
    if not url:
        return False
    try:
        path = re.sub(r"^[^/]*/", "/", re.sub(r"^https?://", "", url))
        return bool(re.search(pattern, url) or re.search(pattern, path))
    except re.error:
        return True  # GrowthBook shows an experiment whose pattern it cannot read
