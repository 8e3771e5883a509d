"""What is printed: the one way to standard output and standard error.

Nothing is interpreted: no markup, no emoji by name, no colours by guess. What cannot be seen is written out, so that no
text from outside directs a terminal or begins a line of its own.
"""

import sys
from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.segment import Segment
from rich.text import Text

from services.shared.text import visible

_LAYOUT = "\n\t"


class Terminal(Console):
    """Takes every text for what it is, on one line. `options`: those of rich's console."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - rich's own
        super().__init__(**options, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 - rich's own
        """Text of a string."""
        return super().render_str(visible(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Pieces of a text, or of whatever holds some."""
        return super().render(_shown(renderable) if isinstance(renderable, Text) else renderable, options)


def console(*, err: bool = False) -> Terminal:
    """A console for tables, styles and bars; each text is a line of its own. `err`: on standard error."""
    return Terminal(stderr=err)


def stacked(*lines: str | Text) -> Group:
    """Lines below each other, in a cell of a table."""
    return Group(*lines)


def say(line: str, *, err: bool = False) -> None:
    """Print a line, at once. `err`: on standard error."""
    write(visible(line), err=err)


def write(document: str, *, err: bool = False, to: TextIO | None = None) -> None:
    """Print a text of lines, at once. `err`: on standard error; `to`: on another stream."""
    print(visible(document, _LAYOUT), file=to or (sys.stderr if err else sys.stdout), flush=True)


def _shown(text: Text) -> Text:
    for char in {char for char in text.plain if visible(char) != char}:
        text = text.blank_copy(visible(char)).join(text.split(char, allow_blank=True))
    return text
