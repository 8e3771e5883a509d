"""A clock's last cycle as a small picture: what counted, what did not, and where its events and limits lie. Pure."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from services.shared.explanation import Local, local
from services.shared.facts import time_zone
from services.shared.instant import Instant
from services.sla.evidence import Stretch, evidence_of
from services.sla.model import Clock, Fact, FactKind
from services.sla.standards import Standards

_WIDTH, _MARGIN, _LINE = 760, 20, 18
_BAR_TOP, _BAR = 34, 26
#: Of events: how wide their numbers are, and how many lie below each other where they are close.
_NUMBER, _ROWS = 18, 3
#: Letters that fit beside a time.
_LETTERS = 80
_COUNTED, _LEFT_OUT, _HELD, _EVENT = "#2f7d4f", "#d9d9d9", "#e0a030", "#333333"
_LOOK = 'font-family="sans-serif" font-size="12" style="background:#ffffff"'
_KEY = (("counted", _COUNTED), ("held", _HELD), ("not counted", _LEFT_OUT))


class _Mark(NamedTuple):
    at: Instant
    label: str
    colour: str
    #: Of an event its number, of a limit nothing.
    number: str = ""


class _Scale(NamedTuple):
    start: Instant
    end: Instant

    def x(self, at: Instant) -> float:
        """Where an instant lies, in pixels."""
        share = (at - self.start) / max(self.end - self.start, 1)
        return round(_MARGIN + share * (_WIDTH - 2 * _MARGIN), 1)


def _clean(text: str) -> str:
    """As it may stand in a picture: what others wrote cannot end a tag, nor the document."""
    return escape("".join(character for character in text if character.isprintable()))


def draw(clock: Clock, standards: Standards) -> str:
    """An SVG picture, readable without its explanation; empty where the clock was never started."""
    cycle, evidence = clock.cycle, next(reversed(evidence_of(clock, standards)), None)
    if evidence is None:
        return ""
    here = local(time_zone(clock.context))
    facts = [fact for fact in clock.facts if fact.occurred_at >= cycle.started_at] or list(clock.facts[-1:])
    limits = (
        _Mark(cycle.preferred_due_at, "preferred", "#2f6fb0"),
        *(_Mark(at, "warning", "#b07a00") for at in cycle.warn_at),
        _Mark(cycle.due_at, "due", "#b03030"),
    )
    marks = [
        *(_Mark(fact.occurred_at, _said(fact), _EVENT, str(number)) for number, fact in enumerate(facts, start=1)),
        *(limit for limit in limits if limit.at),
    ]
    scale = _Scale(min(cycle.started_at, *(mark.at for mark in marks)), max(mark.at for mark in marks))
    rows = _rows([scale.x(mark.at) for mark in marks if mark.number])
    below = _BAR_TOP + _BAR + _NUMBER * (max(rows) + 1)
    height = below + _LINE * len(marks) + _MARGIN
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} {_LOOK} role="img">',
            f"<title>{_clean(clock.key.decode())}</title>",
            *_key(),
            *_bar(evidence.stretches, scale, here),
            *(_limit(mark, scale.x(mark.at), below) for mark in marks if not mark.number),
            *map(_event, marks, (scale.x(mark.at) for mark in marks), rows),
            *_legend(sorted(marks), here, below + _LINE + _MARGIN // 2),
            "</svg>",
        )
    )


def _key() -> Iterator[str]:
    for column, (label, colour) in enumerate(_KEY):
        x = _MARGIN + 90 * column
        yield f'<rect x="{x}" y="10" width="12" height="12" fill="{colour}"/><text x="{x + 18}" y="20">{label}</text>'


def _bar(stretches: Sequence[Stretch], scale: _Scale, here: Local) -> Iterator[str]:
    middle = _BAR_TOP + _BAR // 2
    yield f'<line x1="{_MARGIN}" x2="{_WIDTH - _MARGIN}" y1="{middle}" y2="{middle}" stroke="{_LEFT_OUT}"/>'
    for stretch in stretches:
        x, end = scale.x(stretch.start), scale.x(stretch.end)
        colour = _COUNTED if stretch.counts else _HELD if stretch.why.startswith("held") else _LEFT_OUT
        about = _clean(f"{here.time(stretch.start)} to {here.time(stretch.end)}: {stretch.why}")
        yield (
            f'<rect x="{x}" y="{_BAR_TOP}" width="{round(max(end - x, 0.5), 1)}" height="{_BAR}" fill="{colour}">'
            f"<title>{about}</title></rect>"
        )


def _said(fact: Fact) -> str:
    said = f"held: {fact.what or 'no reason given'}" if fact.kind == FactKind.HELD else fact.what
    return said if len(said) <= _LETTERS else f"{said[:_LETTERS]}\N{HORIZONTAL ELLIPSIS}"


def _rows(xs: Sequence[float]) -> list[int]:
    """In which row each number stands, so that it hides no other; the last holds what finds no room."""
    taken, rows = [-_MARGIN * 1.0] * _ROWS, []
    for x in xs:
        row = next((row for row in range(_ROWS) if x - taken[row] >= _NUMBER), _ROWS - 1)
        taken[row] = x
        rows.append(row)
    return rows


def _limit(mark: _Mark, x: float, end: int) -> str:
    return f'<line x1="{x}" x2="{x}" y1="{_BAR_TOP - 6}" y2="{end}" stroke="{mark.colour}" stroke-width="2"/>'


def _event(mark: _Mark, x: float, row: int) -> str:
    y = _BAR_TOP + _BAR + 12 + _NUMBER * row
    return (
        f'<circle cx="{x}" cy="{y}" r="8" fill="{mark.colour}"/>'
        f'<text x="{x}" y="{y + 4}" fill="#ffffff" font-size="10" text-anchor="middle">{mark.number}</text>'
    )


def _legend(marks: Sequence[_Mark], here: Local, top: int) -> Iterator[str]:
    for row, mark in enumerate(marks):
        y = top + _LINE * row
        symbol = mark.number or "\N{BOX DRAWINGS HEAVY VERTICAL}"
        said = f"{here.time(mark.at)}   {mark.label}"
        yield (
            f'<text x="{_MARGIN}" y="{y}" fill="{mark.colour}" font-weight="bold">{symbol}</text>'
            f'<text x="{_MARGIN + 20}" y="{y}" fill="{mark.colour}">{_clean(said)}</text>'
        )
