"""Progress bars with rate and time left, on stderr, so that stdout stays for results."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

T = TypeVar("T")

#: Items between two looks at the bar: often enough to look alive, too seldom to cost anything.
_STEP = 500


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "", style="cyan")


def track(items: Iterable[T], total: int, doing: str) -> Iterator[T]:
    """The items, with a bar that says what is being done, how fast, and how long it will still take."""
    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(doing, total=total)
        done = 0
        for done, item in enumerate(items, start=1):
            if done % _STEP == 0:
                progress.update(task, completed=done)
            yield item
        progress.update(task, completed=done, total=done)
