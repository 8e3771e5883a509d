"""Times from outside: within the years 0001 to 9999 or refused, wherever they come in."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from puntual.events.v1.order_event_pb2 import OrderEvent
from puntual.notifier.v1 import incident_pb2 as incident, response_pb2 as response, silence_pb2 as silence
from puntual.promises.v1 import promise_pb2 as promise
from puntual.sla.v1 import clock_pb2 as clock
from services.notifier import codec as notifier
from services.notifier.response_codec import decode_response
from services.notifier.silences_log import unpack_silence
from services.promises import codec as promises
from services.shared.clock import from_timestamp, from_timestamps, set_timestamp, wall_clock
from services.shared.envelope import Limits
from services.shared.errors import AbsurdTime, PuntualError, Unusable
from services.shared.instant import (
    FIRST_SECOND,
    LAST_SECOND,
    SECOND,
    Instant,
    format_instant,
    parse_instant,
    to_datetime,
)
from services.shared.opener import Opener, checked_instant
from services.sla import codec as sla

#: Seconds and nanoseconds that are no time.
ABSURD = {
    "the least": (-(1 << 63), 0),
    "the most": (2**63 - 1, 0),
    "year 10000": (LAST_SECOND + 1, 0),
    "year 0": (FIRST_SECOND - 1, 0),
    "nanoseconds below 0": (1_700_000_000, -1),
    "a second of nanoseconds": (1_700_000_000, 1_000_000_000),
}
#: Those at the edge are times.
EDGES = {"0001": (FIRST_SECOND, 0), "9999": (LAST_SECOND, 999_999_999)}

absurd = pytest.mark.parametrize(("seconds", "nanos"), ABSURD.values(), ids=ABSURD)


def test_the_edges_are_those_of_the_calendar() -> None:
    """As protobuf's contract has them."""
    assert datetime(1, 1, 1, tzinfo=UTC).timestamp() == FIRST_SECOND
    assert datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp() == LAST_SECOND


@absurd
def test_no_absurd_time_comes_in(seconds: int, nanos: int) -> None:
    """It is an error that every reader knows: input that cannot be used, and a value that is wrong."""
    stamp = Timestamp(seconds=seconds, nanos=nanos)
    for read in (lambda: from_timestamp(stamp), lambda: from_timestamps([Timestamp(), stamp])):
        with pytest.raises(AbsurdTime, match="0001 to 9999"):
            read()
    assert issubclass(AbsurdTime, Unusable)
    assert issubclass(AbsurdTime, ValueError)


@pytest.mark.parametrize(("seconds", "nanos"), EDGES.values(), ids=EDGES)
def test_what_comes_in_can_be_shown_and_written(seconds: int, nanos: int) -> None:
    """To the microsecond."""
    at = from_timestamp(Timestamp(seconds=seconds, nanos=nanos))
    stamp = Timestamp()
    set_timestamp(stamp, at)
    assert (stamp.seconds, stamp.nanos) == (seconds, nanos // 1_000 * 1_000)
    assert parse_instant(format_instant(at)) == at


@pytest.mark.parametrize("at", [-(2**70), (FIRST_SECOND * SECOND) - 1, (LAST_SECOND + 1) * SECOND, 2**70])
def test_an_absurd_time_is_neither_written_nor_shown(at: int) -> None:
    """What nobody could read again."""
    with pytest.raises(AbsurdTime):
        set_timestamp(Timestamp(), Instant(at))
    for show in (to_datetime, format_instant):
        with pytest.raises(ValueError, match="0001 to 9999"):
            show(Instant(at))


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00"])
def test_a_text_may_lie_outside_the_years_by_its_zone(text: str) -> None:
    """It is refused like any that is no time."""
    with pytest.raises(ValueError, match="0001 to 9999"):
        parse_instant(text)


def _opened(stamp: Timestamp) -> object:
    event = OrderEvent(event_id="1", source="shop", subject_id="o", occurred_at=stamp)
    event.ready.SetInParent()
    return Opener(OrderEvent, Limits(wall_clock)).open(event.SerializeToString(), False)


def _answered(field: str, stamp: Timestamp) -> object:
    message = response.Response(response_id="r", incident_id="i", by="ana", action=response.RESPONSE_ACTION_ACKNOWLEDGE)
    getattr(message, field).CopyFrom(stamp)
    return decode_response(message.SerializeToString(), False, wall_clock())


def _dispatched(stamp: Timestamp) -> object:
    message = incident.Dispatch(incident_id="i", route="r")
    message.item.record_id, message.item.service = "c/order_ready/o", "promises"
    message.item.standing, message.item.severity = incident.STANDING_BROKEN, incident.SEVERITY_CRITICAL
    message.item.due_at.CopyFrom(stamp)
    return notifier.decode(message.SerializeToString(), False)


def _silenced(stamp: Timestamp) -> object:
    message = silence.Silence(silence_id="s", ends_at=stamp)
    message.match.add(label="site", values=["Madrid"])
    return unpack_silence("s", message.SerializeToString())


#: Where times from outside come in.
DOORS: dict[str, Callable[[Timestamp], object]] = {
    "when an event happened": _opened,
    "what an event says": lambda stamp: checked_instant(stamp, "due.at"),
    "until when somebody sees to it": lambda stamp: _answered("until", stamp),
    "when somebody answered": lambda stamp: _answered("responded_at", stamp),
    "what somebody answered to": lambda stamp: _answered("opened_at", stamp),
    "a dispatch": _dispatched,
    "a silence": _silenced,
    "a promise": lambda stamp: promises.unpack(
        promise.Promise(kind=promise.PROMISE_KIND_CALLBACK, due_at=stamp).SerializeToString()
    ),
    "a fact of a promise": lambda stamp: promises.unpack(
        promise.Promise(kind=promise.PROMISE_KIND_CALLBACK, facts=[promise.Fact(occurred_at=stamp)]).SerializeToString()
    ),
    "a clock": lambda stamp: sla.unpack(clock.Clock(metric=clock.METRIC_FIRST_REPLY, due_at=stamp).SerializeToString()),
    "an incident": lambda stamp: notifier.unpack(incident.Incident(since=stamp).SerializeToString()),
}


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@absurd
def test_every_door_refuses_an_absurd_time(door: Callable[[Timestamp], object], seconds: int, nanos: int) -> None:
    """As input that cannot be used, or a value that is wrong; nothing else comes out of it."""
    with pytest.raises((PuntualError, ValueError)) as caught:
        door(Timestamp(seconds=seconds, nanos=nanos))
    assert not isinstance(caught.value, OverflowError)
