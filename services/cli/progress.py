"""Progress bars with rate and time left, on stderr, so that stdout stays for results."""

from collections.abc import Iterable, Iterator
from typing import Self, TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from services.shared.terminal import console

T = TypeVar("T")

#: Items between two looks at the bar: often enough to look alive, too seldom to cost anything.
_STEP = 500


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "", style="cyan")


class Bar:
    """A bar that says what is being done, how fast, and how long it will still take."""

    def __init__(self, doing: str, total: int | None) -> None:
        """`total`: None where it is not known."""
        self._progress = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(compact=True),
            console=console(err=True),
        )
        self._task = self._progress.add_task(doing, total=total)

    def update(self, done: int) -> None:
        """So many are done."""
        self._progress.update(self._task, completed=done)

    def finish(self, done: int) -> None:
        """That was all."""
        self._progress.update(self._task, completed=done, total=done)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def track(items: Iterable[T], total: int, doing: str) -> Iterator[T]:
    """The items, with a bar."""
    with Bar(doing, total) as bar:
        done = 0
        for done, item in enumerate(items, start=1):
            if done % _STEP == 0:
                bar.update(done)
            yield item
        bar.finish(done)
