"""What is kept of what came from outside is bounded in bytes, not only in number."""

import ast
import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from librt.strings import BytesWriter

from puntual.events.v1.contact_event_pb2 import ContactEvent
from services.shared.contexts import put_context, stated_in
from services.shared.envelope import Limits
from services.shared.instant import parse_instant
from services.shared.opener import Opener
from services.shared.partitioner import home_of, partition_of
from services.shared.wire import Reader

SERVICES = Path(__file__).parents[3] / "services"
OPENER = Opener(ContactEvent, Limits(now=lambda: parse_instant("2026-01-02T00:00:00Z")))
#: Calls of each door; a cache that keeps them keeps as many megabytes.
MANY, LARGE, LONGEST_TEXT = 256, 4_096, 500


def an_event(number: int) -> None:
    """With a reason that is long, and that nobody gave before."""
    reason = f"{number:0{LONGEST_TEXT}}\N{GRINNING FACE}"[1:]  # four bytes a character
    fields = {"event_id": "1", "subject_id": "m", "occurred_at": "2026-01-01T00:00:00Z", "held": {"reason": reason}}
    OPENER.open(json.dumps(fields).encode(), is_json=True)


def a_context(number: int) -> None:
    """Packed and read."""
    out = BytesWriter()
    put_context(out, 14, ("", "", "", "", f"{number:0{LARGE}}", "", ""))
    stated_in(Reader(out.getvalue()), 14)


def a_key(number: int) -> None:
    """Of a message and of a record."""
    partition_of(f"{number:0{LARGE}}", 12)
    home_of(f"{number:0{LARGE}}/first_reply/m-1".encode(), 12)


@pytest.mark.parametrize("door", [an_event, a_context, a_key])
def test_what_is_long_is_not_kept(door: Callable[[int], None]) -> None:
    """However often something else comes."""
    door(MANY)
    tracemalloc.start()
    for number in range(MANY):
        door(number)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < MANY * LONGEST_TEXT


def endless() -> Iterator[str]:
    """Functions with arguments whose every answer is kept for ever."""
    for file in sorted(SERVICES.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.args.args:
                marks = {ast.unparse(mark) for mark in node.decorator_list}
                if marks & {"cache", "functools.cache", "lru_cache(None)", "lru_cache(maxsize=None)"}:
                    yield f"{file.relative_to(SERVICES)}:{node.name}"


def test_only_what_has_few_arguments_is_kept_for_ever() -> None:
    """Languages, transitions and years: whoever adds another says here why there are few."""
    assert set(endless()) <= {
        "notifier/page.py:words",  # a language that there are words for
        "notifier/wording.py:_words",
        "sla/rendering.py:_words",
        "shared/calendars.py:specials",  # a year from 1999 to 2200
        "shared/engine/keeper.py:_transition_header",  # a transition
    }
