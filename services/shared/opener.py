"""Opens events: checks their common part and refuses what cannot be used, with the reason."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from google.protobuf.descriptor_pool import Default
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from services.shared.clock import from_timestamp
from services.shared.contexts import read_context, stated
from services.shared.customers.codec import MERGED
from services.shared.envelope import Envelope, Hearing, Limits
from services.shared.errors import AbsurdTime, DeadLetterReason, Unusable
from services.shared.facts import NO_CONTEXT, Context
from services.shared.instant import Instant, parse_instant
from services.shared.parsing import load_fields, parse_bytes, parse_fields
from services.shared.sources.model import HEARTBEAT
from services.shared.wire import COMPILED, Reader

#: No upstream system published events before this; an earlier time is a defect (most often zero).
EARLIEST: Final = parse_instant("2000-01-01T00:00:00Z")
#: No promise reaches further than this.
LATEST: Final = parse_instant("2200-01-01T00:00:00Z")
_SITE: Final = Context._fields.index("site")
_IDS: Final = ("event_id", "source", "customer_id", "subject_id")
#: What happens to no order, callback, appointment or contact.
_OF_NO_SUBJECT: Final = (HEARTBEAT, MERGED)
#: Of a time in JSON what is read here.
_PLAIN_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}|\.\d{6})?(Z|[+-]\d\d:\d\d)")
#: What a sequence can be at most: as much as fits into 63 bits.
_LAST: Final = (1 << 63) - 1
#: Characters of an id, and of what is stated of a context. Both stand in records and messages, several times over.
LONGEST_ID: Final = 255
#: Characters of any other text, such as a reason.
LONGEST_TEXT: Final = 500
#: Characters of a body in JSON that is kept for those that say the same.
_SHORT: Final = 512


class Opener:
    """Opens the events of one message type."""

    def __init__(self, message_type: type[Message], limits: Limits, hearing: Hearing | None = None) -> None:
        """`hearing`: where to note who was heard; None: nowhere."""
        self._type = message_type
        self._hearing = hearing
        self._now, self._ahead, self._horizon, self._max_bytes, self._between = limits
        descriptor: Any = message_type.DESCRIPTOR
        arms = descriptor.oneofs_by_name["event"].fields
        #: What may have happened, by field number, and for each its message, empty.
        self.arms: dict[int, str] = {arm.number: arm.name for arm in arms}
        self._blank: dict[int, Message] = {arm.number: GetMessageClass(arm.message_type)() for arm in arms}
        #: In JSON a field may be named in either way.
        self._names: dict[str, str] = {
            name: field.name for field in descriptor.fields for name in (field.name, field.json_name)
        }
        self._numbers: dict[str, int] = {arm.name: arm.number for arm in arms}

    def open(self, value: bytes, is_json: bool) -> Envelope:
        """The event. Raises `Unusable`."""
        if len(value) > self._max_bytes:
            raise Unusable(
                DeadLetterReason.TOO_LARGE,
                f"{len(value)} bytes; at most {self._max_bytes} are accepted: send ids, not data",
            )
        if is_json:
            return self.open_fields(load_fields(self._type, value))
        event = self._plain(value) if COMPILED else None
        if event is None:
            event = self._parsed(parse_bytes(self._type, value))
        # A character is a byte or more, so that in most events none has to be counted.
        if len(value) > LONGEST_ID:
            _check_texts(event)
        self._check(event)
        return event

    def open_fields(self, fields: dict[str, Any]) -> Envelope:
        """The event in protobuf's JSON mapping, loaded. Raises `Unusable`."""
        event = self._plain_fields(fields)
        if event is None:
            event = self._parsed(parse_fields(self._type, fields))
        _check_texts(event)
        self._check(event)
        return event

    def _plain_fields(self, fields: dict[str, Any]) -> Envelope | None:
        """The event, if it is as plain as most are: a fraction of what protobuf takes for it."""
        said = {self._names.get(name, ""): value for name, value in fields.items()}
        arms = said.keys() & self._numbers
        if len(said) < len(fields) or "" in said or len(arms) != 1:
            return None
        arm = arms.pop()
        body = self._body(arm, said.pop(arm))
        sequence = said.pop("sequence", 0)
        if type(sequence) is not int or not 0 <= sequence <= _LAST:  # a text, mostly; never a truth value
            return None
        try:
            "".join(said.values()).encode()  # texts, all of them, that can be written
            occurred_at = parse_instant(said["occurred_at"]) if _PLAIN_TIME.fullmatch(said["occurred_at"]) else None
        except (TypeError, KeyError, ValueError):
            return None
        if body is None or occurred_at is None:
            return None
        context = tuple([said.get(name, "") for name in Context._fields])
        event_id, source, customer_id, subject_id = (said.get(name, "") for name in _IDS)
        stated = context if any(context) else NO_CONTEXT
        return Envelope(event_id, source, occurred_at, customer_id, subject_id, stated, arm, body, sequence)

    def _body(self, arm: str, said: Any) -> Message | None:  # noqa: ANN401 - as JSON has it
        blank = self._blank[self._numbers[arm]]
        if said == {}:
            return blank
        if not isinstance(said, dict):
            return None
        text = json.dumps(said)
        read = _known_body if len(text) <= _SHORT else _parsed_body
        return read(blank.DESCRIPTOR.full_name, text)

    def _plain(self, value: bytes) -> Envelope | None:
        """The event, if it is as plain as most are: a fraction of what reading a message's attributes takes."""
        try:
            reader = Reader(value)
            event_id, source, occurred_at = reader.text(1), reader.text(2), reader.timestamp(3)
            customer_id, subject_id = reader.text(4), reader.text(5)
            context = stated(reader, 6)
            sequence = reader.long(13)
            number = reader.field
            blank = self._blank.get(number)
            if blank is None:
                return None
            content = reader.chunk(number)
            reader.done()
            body = type(blank).FromString(content) if content else blank
        except (ValueError, DecodeError):  # NotPlain, or a text that is not UTF-8
            return None
        arm = self.arms[number]
        return Envelope(event_id, source, occurred_at, customer_id, subject_id, context, arm, body, sequence)

    def _parsed(self, event: Any) -> Envelope:  # noqa: ANN401 - the messages of events have no type in common
        arm = event.WhichOneof("event") or ""
        return Envelope(
            event.event_id,
            event.source,
            from_timestamp(event.occurred_at),
            event.customer_id,
            event.subject_id,
            read_context(event),
            arm,
            getattr(event, arm) if arm else event,
            event.sequence,
        )

    def _check(self, event: Envelope) -> None:
        at = event.occurred_at
        if not at:
            raise Unusable(DeadLetterReason.NO_TIME, "occurred_at is absent; set it to when the event happened")
        now = self._now()
        if not EARLIEST <= at <= LATEST:
            raise Unusable(DeadLetterReason.ABSURD_TIME, "occurred_at lies before 2000 or after 2200; check its unit")
        if at > now + self._ahead and at > self._between_now(now)[1] + self._ahead:
            raise Unusable(
                DeadLetterReason.FUTURE_TIME, "occurred_at lies in the future; check the publisher's clock and zone"
            )
        horizon = self._horizon
        if horizon is not None and at < now - horizon and at < self._between_now(now)[0] - horizon:
            raise Unusable(
                DeadLetterReason.TOO_LATE, "occurred_at is older than promises are remembered (PUNTUAL_HORIZON_DAYS)"
            )
        if event.sequence > _LAST:
            raise Unusable(DeadLetterReason.INVALID, f"sequence must be at most {_LAST}; a count or a time fits")
        if not event.event_id:
            raise Unusable(
                DeadLetterReason.NO_EVENT_ID, "event_id is absent; without it a repeated event cannot be recognised"
            )
        if not event.subject_id and event.arm not in _OF_NO_SUBJECT:
            raise Unusable(
                DeadLetterReason.NO_SUBJECT, "subject_id is absent; name the order, callback, appointment or contact"
            )
        if event.context and event.context[0] and not event.customer_id:
            raise Unusable(
                DeadLetterReason.NO_CUSTOMER, "customer_name is given without customer_id; events are keyed by the id"
            )
        if self._hearing is not None:
            self._hear(self._hearing, event)

    def _hear(self, hearing: Hearing, event: Envelope) -> None:
        """Note that its source was heard."""
        context, at = event.context, event.occurred_at
        who = event.source, context[_SITE] if context else "", event.arm
        known = hearing.get(who)
        if known is None or at > known:
            hearing[who] = at

    def _between_now(self, now: Instant) -> tuple[Instant, Instant]:
        """The earliest and the latest that it may be."""
        return (now, now) if self._between is None else self._between()


def blank_arm(message_type: type[Message], arm: str) -> Message:
    """What an event says by an arm where it says no more than that it happened."""
    fields: Any = message_type.DESCRIPTOR.fields_by_name
    blank: Message = GetMessageClass(fields[arm].message_type)()
    return blank


def checked_instant(stamp: Timestamp, field: str) -> Instant:
    """A timestamp inside an event. Raises `Unusable` where it is absent or absurd."""
    try:
        at = from_timestamp(stamp)
    except AbsurdTime:
        at = Instant(LATEST + 1)
    if EARLIEST <= at <= LATEST:
        return at
    raise Unusable(
        DeadLetterReason.INVALID,
        f"{field} must be a time between 2000 and 2200; it is {'absent' if not at else 'outside'}",
    )


def _parsed_body(name: str, said: str) -> Message | None:
    """The message of a full name."""
    try:
        return parse_fields(GetMessageClass(Default().FindMessageTypeByName(name)), json.loads(said))
    except Unusable:
        return None


@lru_cache(1 << 12)
def _known_body(name: str, said: str) -> Message | None:
    """Likewise. Many say the same; whoever gets it does not change it."""
    return _parsed_body(name, said)


def _check_texts(event: Envelope) -> None:
    texts = {
        "event_id": event.event_id,
        "source": event.source,
        "customer_id": event.customer_id,
        "subject_id": event.subject_id,
        **dict(zip(Context._fields, event.context, strict=False)),
    }
    _check_lengths(texts, LONGEST_ID)
    if event.arm:
        _check_lengths(dict(_texts_of(event.body, event.arm)), LONGEST_TEXT)


def _check_lengths(texts: Mapping[str, str], longest: int) -> None:
    length, name = max(((len(text), name) for name, text in texts.items()), default=(0, ""))
    if length > longest:
        raise Unusable(
            DeadLetterReason.TOO_LARGE,
            f"{name} has {length} characters; at most {longest} are accepted: send ids, not data",
        )


def _texts_of(message: Any, place: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - of either implementation
    """All texts that a message holds, by their places."""
    for field, value in message.ListFields():
        if isinstance(value, str):
            yield f"{place}.{field.name}", value
        elif isinstance(value, Message):
            yield from _texts_of(value, f"{place}.{field.name}")
