"""Data sets: real, semi-synthetic and simulated, each with a card that says what it is.

from uplift.datasets import complete_journey, hillstrom, plasmode_campaign, simulate, card
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_MODULE_OF = {
    "card": "uplift.datasets.cards",
    "complete_journey": "uplift.datasets.journey",
    "hillstrom": "uplift.datasets.email_test",
    "plasmode_campaign": "uplift.datasets.plasmode",
    "simulate": "uplift.datasets.simulation",
}

__all__ = sorted(_MODULE_OF)

if TYPE_CHECKING:
    from uplift.datasets.cards import card as card
    from uplift.datasets.email_test import hillstrom as hillstrom
    from uplift.datasets.journey import complete_journey as complete_journey
    from uplift.datasets.plasmode import plasmode_campaign as plasmode_campaign
    from uplift.datasets.simulation import simulate as simulate


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'uplift.datasets' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
