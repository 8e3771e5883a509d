"""Events and rules as tests need them, with everything that does not matter filled in."""

from itertools import count
from pathlib import Path

from puntual.events.v1.order_event_pb2 import MILESTONE_READY, OrderEvent
from services.shared.clock import set_timestamp
from services.shared.instant import Instant

_ids = count(1)

#: Rules under which promises break within seconds; written to a file by `quick_rules`.
_QUICK = """\
version: "quick"
calendars: {always: {zone: UTC, hours: {mon: "00:00-24:00", tue: "00:00-24:00", wed: "00:00-24:00",
            thu: "00:00-24:00", fri: "00:00-24:00", sat: "00:00-24:00", sun: "00:00-24:00"}}}
kinds:
  order_ready:     {grace: 1s, calendar: always}
  order_delivered: {grace: 1s, calendar: always}
  callback:        {grace: 1s, calendar: always}
  appointment:     {grace: 1s, calendar: always}
"""


def quick_rules(directory: Path) -> Path:
    """A rules file with one second of grace and no warnings."""
    path = directory / "rules.yaml"
    path.write_text(_QUICK)
    return path


def an_order(subject: str, at: Instant, customer: str = "c-1", event_id: str | None = None) -> OrderEvent:
    """An order event without its arm."""
    event = OrderEvent(event_id=event_id or f"e-{next(_ids)}", source="shop", customer_id=customer, subject_id=subject)
    set_timestamp(event.occurred_at, at)
    return event


def promised(subject: str, at: Instant, due_at: Instant, customer: str = "c-1") -> OrderEvent:
    """An order promised to be ready by `due_at`."""
    event = an_order(subject, at, customer, f"{subject}-promised")
    event.promised.milestone = MILESTONE_READY
    set_timestamp(event.promised.due.at, due_at)
    return event


def ready(subject: str, at: Instant, customer: str = "c-1") -> OrderEvent:
    """An order that is ready."""
    event = an_order(subject, at, customer, f"{subject}-ready")
    event.ready.SetInParent()
    return event
