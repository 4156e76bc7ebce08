"""Replay what other platforms drew: one door for their definitions and a list of ids.

| system     | definition                                                                          |
|------------|-------------------------------------------------------------------------------------|
| growthbook | the experiment as GrowthBook writes it (see `growthbook_experiment`)                |
| planout    | salt (`experiment.parameter`), choices, and optionally weights                      |
| optimizely | parent_id, allocation: [[arm, end of its range], …]                                 |
| statsig    | spec_salt, rule_salt, pass_percent, and optionally arms (failed, passed)            |
| eppo       | experiment, percent_exposure, variations; or splits. Optionally total_shards        |

Ids are hashed as they are given. Of these systems only GrowthBook's is compiled.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from uplift.assignment import platforms
from uplift.assignment.growthbook_experiment import draw_variations
from uplift.assignment.text_blocks import texts_of
from uplift.errors import DefinitionError

Definition = Mapping[str, Any]
Arms = npt.NDArray[np.object_]


def assign_as(system: str, definition: Definition, units: Any) -> Arms:
    """The arm another platform gives each unit; None where it gives none. Returns (n_units,).

    system  growthbook, planout, optimizely, statsig or eppo; definitions are listed above

    Errors: SYSTEM_UNKNOWN; DEFINITION_INCOMPLETE for a part that is missing; those of the system.
    """
    if system not in SYSTEMS:
        raise DefinitionError(
            f"System {system!r} is not known. Choose one of {', '.join(SYSTEMS)}.",
            code="SYSTEM_UNKNOWN",
        )
    try:
        return SYSTEMS[system](definition, units)
    except KeyError as error:
        raise DefinitionError(
            f"The {system} definition lacks {error}. It needs the parts listed in "
            "uplift.assignment.legacy.",
            code="DEFINITION_INCOMPLETE",
        ) from None


def _growthbook(definition: Definition, units: Any) -> Arms:
    values = _objects([*definition["variations"], None])  # position -1 is the last: nobody's
    return values[draw_variations(definition, units)]


def _planout(definition: Definition, units: Any) -> Arms:
    salt, choices, weights = definition["salt"], definition["choices"], definition.get("weights")

    def arm(unit: str) -> Any:
        if weights is None:
            return platforms.planout_choice(f"{salt}.{unit}", choices)
        return platforms.planout_weighted_choice(f"{salt}.{unit}", choices, weights)

    return _objects(map(arm, texts_of(units)))


def _optimizely(definition: Definition, units: Any) -> Arms:
    parent, allocation = definition["parent_id"], definition["allocation"]
    return _objects(
        platforms.optimizely_choice(platforms.optimizely_bucket(unit, parent), allocation)
        for unit in texts_of(units)
    )


def _statsig(definition: Definition, units: Any) -> Arms:
    failed, passed = definition.get("arms", (False, True))
    salts = definition["spec_salt"], definition["rule_salt"]
    percent = definition["pass_percent"]
    return _objects(
        passed if platforms.statsig_passes(*salts, unit, pass_percent=percent) else failed
        for unit in texts_of(units)
    )


def _eppo(definition: Definition, units: Any) -> Arms:
    total = definition.get("total_shards", platforms.EPPO_SHARDS)
    if "splits" in definition:
        splits = definition["splits"]
        return _objects(
            platforms.eppo_split(unit, splits, total_shards=total) for unit in texts_of(units)
        )
    experiment, exposed = definition["experiment"], definition["percent_exposure"]
    variations = definition["variations"]
    return _objects(
        platforms.eppo_arm(
            unit,
            experiment,
            percent_exposure=exposed,
            variations=variations,
            total_shards=total,
        )
        for unit in texts_of(units)
    )


def _objects(values: Iterable[Any]) -> Arms:
    """An array of objects, which numpy does not take apart where they are lists or mappings."""
    listed = list(values)
    array = np.empty(len(listed), dtype=object)
    for i, value in enumerate(listed):
        array[i] = value
    return array


SYSTEMS: dict[str, Callable[[Definition, Any], Arms]] = {
    "growthbook": _growthbook,
    "planout": _planout,
    "optimizely": _optimizely,
    "statsig": _statsig,
    "eppo": _eppo,
}
