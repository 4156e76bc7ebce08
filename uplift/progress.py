"""Progress of long work: bars on a terminal, one plain line a step elsewhere.

`track` shows a loop; `Steps` shows a job of several steps, with a bar for each. A loop inside a
step moves that step's bar. Everything goes to standard error, so that output can be piped.
"""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Item = TypeVar("Item")


class Steps:
    """A job of named steps, each with its own bar.

    >>> with Steps(["design", "assign"]) as steps:
    ...     with steps.step():  # design
    ...         work()
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = list(labels)
        self.seconds: list[float] = []
        self._bars: Progress | None = None
        self._tasks: list[TaskID] = []

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bars = _bars()
            self._tasks = [
                self._bars.add_task(f"{i:2d} {label}", start=False, total=1)
                for i, label in enumerate(self.labels, 1)
            ]
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    @contextmanager
    def step(self) -> Iterator[None]:
        """Run the next step in the order of the labels."""
        number = len(self.seconds)
        started = time.perf_counter()
        if self._bars is not None:
            self._bars.start_task(self._tasks[number])
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)
        self.seconds.append(time.perf_counter() - started)
        if self._bars is not None:
            self._bars.update(self._tasks[number], total=1, completed=1)
            self._bars.stop_task(self._tasks[number])
        else:
            line = f"[{number + 1:2d}/{len(self.labels)}] {self.labels[number]}"
            print(f"{line:<58} {self.seconds[-1]:6.1f} s", file=sys.stderr, flush=True)

    def follow(self, items: Iterable[Item], *, total: int | None) -> Iterator[Item]:
        """Yield the items and move the bar of the step that is running."""
        if self._bars is None or total is None:
            yield from items
            return
        task = self._tasks[len(self.seconds)]
        self._bars.update(task, total=total, completed=0)
        for item in items:
            yield item
            self._bars.advance(task)


_CURRENT: ContextVar[Steps | None] = ContextVar("steps", default=None)


def track(items: Iterable[Item], *, label: str, total: int | None = None) -> Iterator[Item]:
    """Yield the items and show how far the work is, on a terminal only."""
    if total is None and isinstance(items, Sequence):
        total = len(items)
    running = _CURRENT.get()
    if running is not None:
        yield from running.follow(items, total=total)
    elif not sys.stderr.isatty():
        yield from items
    else:
        with _bars(transient=True) as bars:
            yield from bars.track(items, total=total, description=label)


def _bars(*, transient: bool = False) -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description:<44}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=transient,
    )
