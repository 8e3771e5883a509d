"""Reads a target's own words from `notifier.yaml`: kind of message → template."""

from collections.abc import Mapping

from services.notifier.outbox import Kind
from services.notifier.own_words import OwnWords, Unfit
from services.notifier.wording import Line, Notice, facts
from services.shared.fields import Fields

_KINDS = {kind.name.lower() for kind in Kind}


def read_templates(fields: Fields) -> Mapping[str, OwnWords]:
    """Those that are fit; of the others the problem is noted."""
    found: dict[str, OwnWords] = {}
    for kind in fields.names():
        if kind not in _KINDS:
            fields.problem(kind, f"is no kind of message; write one of {', '.join(sorted(_KINDS))}")
        elif template := fields.text(kind):
            try:
                found[kind] = OwnWords(template, [facts(notice._replace(kind=kind), *_OTHERS) for notice in _SAMPLES])
            except Unfit as error:
                fields.problem(kind, str(error))
    return found


_LINE = Line(
    kind="order_ready",
    subject="A-1",
    customer="Ana Lopez (C-7)",
    due="2026-11-26 17:00 Europe/Madrid",
    first_due="2026-11-25 17:00 Europe/Madrid",
    standing="broken",
    reason="due_passed",
    late="1 h",
    where="workshop, Madrid",
    flaps=True,
    breaches=3,
    instead="ana",
)
_BARE = Line("order_ready", "A-1", "", "", "", "broken", "", "", "", flaps=False, breaches=0, instead="")
_FULL = Notice(
    kind="breach",
    by="ana",
    service="promises",
    total=12,
    lines=(_LINE, _BARE),
    explain="puntual explain C-7/order_ready/A-1",
    link="https://puntual.example.com/a/1",
    missed="",
    failure="",
    instead="",
    may_repeat=False,
    together=0,
    kinds={},
    in_all=0,
    audit="puntual incidents audit everything",
)
#: With all that there can be, and with as little.
_SAMPLES = (_FULL, _FULL._replace(by="", total=1, lines=(_BARE,), link=""))
_OTHERS = ("desk", "critical", ("Promise broken: getting order A-1 ready", "- getting order A-1 ready"))
