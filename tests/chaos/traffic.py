"""Seeded traffic: the same seed gives the same messages at the same points of the run."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, NamedTuple

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from puntual.events.v1.order_event_pb2 import MILESTONE_DELIVERED, MILESTONE_READY
from tests.chaos.reading import EVENTS
from tests.chaos.rules import SECOND
from tests.chaos.stories import Story, Tales, Word

_DAY = 86_400.0
_SOON = (1.5, 2.5)
#: Seconds after due within which everything of the grace and tolerance of any kind lies.
_GRACE = 1.1
_MILESTONES = {"order_ready": MILESTONE_READY, "order_delivered": MILESTONE_DELIVERED}
_JSON = ("content-type", b"application/json")
_TRACE = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


class Shot(NamedTuple):
    """One message and when it is published, in seconds from the start of the traffic."""

    at: float
    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    #: None: where its key belongs.
    partition: int | None = None


class Mix(NamedTuple):
    """What the traffic of a run is like; the defaults are what every scenario has."""

    seconds: float = 6.0
    #: Events a second, about.
    rate: float = 400.0
    customers: int = 150
    #: Parts of the events that are published again, that are told again differently, that come as JSON.
    repeated: float = 0.08
    contradicted: float = 0.004
    json: float = 0.15
    #: Seconds by which anything may be published later than it happens.
    delay: float = 0.3
    #: For each publisher, by how many seconds its clock is ahead.
    clocks: Sequence[float] = (0.0, 0.0, 0.0)
    #: Seconds by which a life lies in the past, at most.
    ago: float = 0.0


class Plan(NamedTuple):
    """All the messages of a run, in the order of their publication."""

    shots: Sequence[Shot]
    #: Seconds from the start after which nothing more comes due for days.
    quiet: float


class _Life(NamedTuple):
    """One record; times in seconds from the start of the traffic."""

    number: int
    kind: str
    customer: str
    subject: str
    source: str
    #: How far the clock of its publisher is ahead, and how long ago all of it happened.
    ahead: float
    ago: float
    made: float
    due: float
    as_day: bool


def plan(tales: Tales, random: Random, mix: Mix, start: int, name: str = "p") -> Plan:
    """The traffic of a run that starts at `start` (microseconds). `name`: of its subjects, which no other has."""
    teller = _Teller(tales, random, mix, start, name)
    shots: list[Shot] = []
    while len(shots) < mix.rate * mix.seconds:
        shots += teller.another()
    shots.sort(key=lambda shot: shot.at)
    return Plan(shots, max(teller.quiet, shots[-1].at))


class _Teller:
    """Makes records up and tells what becomes of them."""

    def __init__(self, tales: Tales, random: Random, mix: Mix, start: int, name: str) -> None:
        self._tales = tales
        self._random, self._mix, self._start, self._name = random, mix, start, name
        self._customers = [f"c {number}/ñ~%" if number % 20 == 7 else f"c-{number}" for number in range(mix.customers)]
        self._sources = [(f"shop-{number}", ahead) for number, ahead in enumerate(mix.clocks)]
        self._count = 0
        self._order: tuple[str, str] | None = None
        #: When the last that comes due soon is over.
        self.quiet = 0.0

    def another(self) -> Iterator[Shot]:
        """One life from beginning to end."""
        random = self._random
        self._count += 1
        kind = random.choice(list(self._tales.words))
        topic, words = self._tales.words[kind]
        known = [story for story in self._tales.stories.values() if all(step.word in words for step in story.steps)]
        (story,) = random.choices(known, [story.weight for story in known])
        span, as_day = self._span(story)
        moments = [(span if step.since == "due" else 0.0) + random.uniform(*step.between) for step in story.steps]
        delays = [random.uniform(*step.told) + random.random() ** 3 * self._mix.delay for step in story.steps]
        length = max(moment + delay for moment, delay in zip(moments, delays, strict=True))
        if story.due == "soon":
            length = max(length, span - 1.0 + max(step.moved[1] for step in story.steps))
        life = self._life(kind, random.uniform(0.0, max(0.0, self._mix.seconds - length)), span, as_day=as_day)
        if self._tales.tail:
            soon = span if story.due == "soon" else 0.0
            self.quiet = max(self.quiet, life.made + max(soon, length) + self._tales.tail)
        for number, (step, moment, delay) in enumerate(zip(story.steps, moments, delays, strict=True)):
            word, due = words[step.word], life.due + random.uniform(*step.moved)
            if story.due == "soon" and word.due:
                self.quiet = max(self.quiet, due - life.ago + _GRACE)
            event = self._event(life, topic, word, f"{life.number}-{number}", life.made + moment, due)
            yield from self._published(topic, event, life.made + moment + delay)

    def _span(self, story: Story) -> tuple[float, bool]:
        """Seconds from when it is promised to when it is due, and whether that is said as a day."""
        random = self._random
        if story.due == "soon":
            return random.uniform(*_SOON), False
        days = random.randint(3, 30)
        return (-days if story.due == "past day" else days) * _DAY, story.due != "far"

    def _life(self, kind: str, made: float, span: float, *, as_day: bool) -> _Life:
        random = self._random
        customer, subject = self._whose(kind)
        source, ahead = random.choice(self._sources)
        ago = random.uniform(0.0, self._mix.ago)
        return _Life(self._count, kind, customer, subject, source, ahead, ago, made, made + span, as_day)

    def _whose(self, kind: str) -> tuple[str, str]:
        """A customer and a subject; many an order is promised to be ready and to be delivered."""
        random, known = self._random, self._order
        if kind in _MILESTONES and known and random.random() < 0.4:
            self._order = None
            return known
        customer = "" if random.random() < 0.03 else random.choice(self._customers)
        subject = f"{self._name}-{self._count}"
        if kind in _MILESTONES:
            self._order = customer, subject
        return customer, subject

    # --- one event

    def _event(self, life: _Life, topic: str, word: Word, number: str, moment: float, due: float) -> Any:
        random = self._random
        event: Any = EVENTS[topic](
            event_id=f"{self._name}-{number}", source=life.source, customer_id=life.customer, subject_id=life.subject
        )
        _set(event.occurred_at, self._instant(moment - life.ago + life.ahead))
        if life.customer and random.random() < 0.3:
            event.customer_name, event.customer_locale = "Zoë Ángel", "es-ES"
        if random.random() < 0.3:
            event.site, event.team = random.choice(["Torino", "Málaga"]), random.choice(["workshop", ""])
        self._state(event, self._tales.context)
        arm = getattr(event, word.arm)
        arm.SetInParent()
        for field, values in word.choices.items():
            chosen = random.choice(values)
            if isinstance(chosen, Message):
                getattr(arm, field).CopyFrom(chosen)
            else:
                setattr(arm, field, chosen)
        for field, value in word.fields.items():
            setattr(arm, field, value)
        if word.arm in {"promised", "renegotiated"} and life.kind in _MILESTONES:
            arm.milestone = _MILESTONES[life.kind]
        if word.arm == "waived" and life.kind in _MILESTONES and random.random() < 0.5:
            arm.milestone = _MILESTONES[life.kind]
        if word.window:
            _set(getattr(arm, word.window), self._instant(due - life.ago - 1.0))
        if word.due:
            self._give(getattr(arm, word.due), self._instant(due - life.ago), as_day=life.as_day)
        return event

    def _state(self, event: Any, context: Mapping[str, Sequence[str]]) -> None:
        for field, texts in context.items():
            if self._random.random() < 0.3:
                setattr(event, field, self._random.choice(texts))

    def _give(self, field: Any, due: int, *, as_day: bool) -> None:
        """Say when it is due, in a `Due` or a timestamp."""
        random = self._random
        if isinstance(field, Timestamp):
            _set(field, due)
        elif as_day:
            field.day.date = f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=due):%Y-%m-%d}"
            field.day.time_zone = random.choice(["", "Europe/Madrid", "America/New_York", "Asia/Tokyo"])
            field.day.calendar = random.choice(["", "office", "always"])
        else:
            _set(field.at, due)

    def _instant(self, moment: float) -> int:
        return self._start + int(moment * SECOND)

    # --- its messages

    def _published(self, topic: str, event: Any, at: float) -> Iterator[Shot]:
        random, mix = self._random, self._mix
        first = self._shot(topic, event, at)
        yield first
        if random.random() < mix.repeated:
            yield first._replace(at=first.at + random.choice([0.0, random.uniform(0.0, 2.0)]))
        if random.random() < mix.contradicted:
            event.team = "another team"
            yield self._shot(topic, event, at + random.uniform(0.0, 1.0))

    def _shot(self, topic: str, event: Any, at: float) -> Shot:
        random = self._random
        is_json = random.random() < self._mix.json
        value = MessageToJson(event, indent=None).encode() if is_json else event.SerializeToString()
        headers = (*([_JSON] if is_json else []), *([_TRACE] if random.random() < 0.1 else []))
        return Shot(max(0.0, at), topic, (event.customer_id or event.subject_id).encode(), value, headers)


def _set(stamp: Timestamp, at: int) -> None:
    stamp.seconds, rest = divmod(at, SECOND)
    stamp.nanos = rest * 1_000
