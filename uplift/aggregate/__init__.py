"""Any table to moments per cell, where the data is; and a store of such moments, day by day.

from uplift.aggregate import aggregate, capped, MomentsStore
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_MODULE_OF = {
    "MomentsStore": "uplift.aggregate.store",
    "MomentsTable": "uplift.aggregate.cells",
    "PostgresTable": "uplift.aggregate.postgres",
    "above": "uplift.aggregate.expressions",
    "at_most": "uplift.aggregate.expressions",
    "by_key": "uplift.aggregate.expressions",
    "column_kinds": "uplift.aggregate.described",
    "largest": "uplift.aggregate.described",
    "query_for": "uplift.aggregate.collect",
    "table_at": "uplift.aggregate.described",
    "unlike": "uplift.aggregate.expressions",
    "aggregate": "uplift.aggregate.collect",
    "capped": "uplift.aggregate.expressions",
    "combined": "uplift.aggregate.expressions",
    "filled": "uplift.aggregate.expressions",
    "is_missing": "uplift.aggregate.expressions",
    "moments_query": "uplift.aggregate.query",
}

__all__ = sorted(_MODULE_OF)

if TYPE_CHECKING:
    from uplift.aggregate.cells import MomentsTable as MomentsTable
    from uplift.aggregate.collect import aggregate as aggregate
    from uplift.aggregate.collect import query_for as query_for
    from uplift.aggregate.described import column_kinds as column_kinds
    from uplift.aggregate.described import largest as largest
    from uplift.aggregate.described import table_at as table_at
    from uplift.aggregate.expressions import (
        above as above,
    )
    from uplift.aggregate.expressions import (
        at_most as at_most,
    )
    from uplift.aggregate.expressions import (
        by_key as by_key,
    )
    from uplift.aggregate.expressions import (
        capped as capped,
    )
    from uplift.aggregate.expressions import (
        combined as combined,
    )
    from uplift.aggregate.expressions import (
        filled as filled,
    )
    from uplift.aggregate.expressions import (
        is_missing as is_missing,
    )
    from uplift.aggregate.expressions import (
        unlike as unlike,
    )
    from uplift.aggregate.postgres import PostgresTable as PostgresTable
    from uplift.aggregate.query import moments_query as moments_query
    from uplift.aggregate.store import MomentsStore as MomentsStore


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'uplift.aggregate' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
