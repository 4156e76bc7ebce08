"""Progress of long work: a bar on a terminal, nothing where nobody looks."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def track(items: Iterable[Item], *, label: str, total: int | None = None) -> Iterator[Item]:
    """Yield the items and show how far the work is (on standard error, only on a terminal)."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as bar

    yield from bar(
        items, description=label, total=total, console=Console(stderr=True), transient=True
    )
