"""What the page behind a link says: what broke, for whom, since when, why, who is told next, and what can be answered.

Pure: an incident, whoever reads, and the time, into HTML without scripts and without anything from elsewhere.
"""

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, time, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.notifier.beliefs import Receivers, concerns
from services.notifier.incident import Incident, IncidentState
from services.notifier.items import Details, Item, Standing
from services.notifier.outbox import Delivery, DeliveryState, Kind
from services.notifier.responses import MAX_COMMENT, Acknowledgement, Action, Response
from services.notifier.wording import LANGUAGES, Style, explains, service_of
from services.shared.duration import format_duration
from services.shared.instant import SECOND, Instant, from_datetime, to_datetime
from services.shared.keys import customer_of, split_key
from services.shared.text import clean
from services.shared.zones import time_zone_or_utc

_HERE = Path(__file__)
_PAGES, _TEMPLATES = _HERE.with_name("pages"), _HERE.with_name("templates")
_FALLBACK_LANGUAGE = "en"
#: How many items and responses are listed.
_ITEMS, _RESPONSES = 10, 5
_HOUR = 3600 * SECOND
_MORNING = time(8)
_NO_DETAILS = Details()

Words = Mapping[str, Any]


class Reader(NamedTuple):
    """Who reads the page: the target that the link was sent to, or the person whose it is."""

    target: str = ""
    language: str = _FALLBACK_LANGUAGE
    #: Of all times on the page.
    zone: ZoneInfo = ZoneInfo("UTC")
    #: Whether customers' names may be told; otherwise only ids are.
    show_customer: bool = False


class Row(NamedTuple):
    """Something that is open."""

    #: "broken" or "at_risk".
    standing: str
    #: What it is, around the subject's id.
    before: str
    subject: str
    after: str
    customer: str
    late: str
    times: tuple[str, ...]


class Line(NamedTuple):
    """Somebody was told, or said something."""

    who: str
    what: str
    comment: str = ""


class Button(NamedTuple):
    """An answer that can be given; `name` is one of `CHOICES`."""

    name: str
    label: str


class Form(NamedTuple):
    """What can be answered. `main`: what most will."""

    nonce: str
    main: Button | None
    others: tuple[Button, ...]
    longest: int = MAX_COMMENT


class Page(NamedTuple):
    """The page as the template sees it: a note, or an incident."""

    language: str
    title: str
    #: Which of the `notes`; then only `commands` and `again` (whether to offer another look) count of what follows.
    note: str = ""
    commands: tuple[str, ...] = ()
    again: bool = False
    #: open, answered, snoozed or over.
    tone: str = ""
    state: str = ""
    #: What came of an answer that was just given.
    notice: str = ""
    rows: tuple[Row, ...] = ()
    more: int = 0
    #: About how many are open, where there are more than can be followed, and the command that shows every one.
    in_all: int = 0
    audit: str = ""
    next: str = ""
    told: tuple[Line, ...] = ()
    said: tuple[Line, ...] = ()
    form: Form | None = None
    #: The command that explains the first row.
    explain: str = ""
    foot: str = ""


class Choice(NamedTuple):
    """What an answer on the page does. `until`: to when it puts off, at an instant in a zone."""

    action: Action
    until: Callable[[Instant, ZoneInfo], Instant] | None = None


def next_morning(now: Instant, zone: ZoneInfo) -> Instant:
    """The next eight o'clock that is at least an hour away."""
    soonest = to_datetime(Instant(now + _HOUR)).astimezone(zone)
    day = soonest.date() + timedelta(days=soonest.time() > _MORNING)
    return from_datetime(datetime.combine(day, _MORNING, zone))


#: By the name that the form gives it.
CHOICES: Mapping[str, Choice] = {
    "acknowledge": Choice(Action.ACKNOWLEDGE),
    "take_over": Choice(Action.TAKE_OVER),
    "hour": Choice(Action.SNOOZE, lambda now, _: Instant(now + _HOUR)),
    "morning": Choice(Action.SNOOZE, next_morning),
    "resolve": Choice(Action.RESOLVE),
    "comment": Choice(Action.COMMENT),
}
_OTHERS = ("hour", "morning", "resolve")


def reader(target: str, style: Style, accept_language: str, incident: Incident | None = None) -> Reader:
    """How to put the page to a target: as its messages are; in its browser's language where it has none of its own."""
    details = [item.details for item in incident.items if item.details] if incident else []
    zone = style.time_zone or next((found.customer_time_zone for found in details if found.customer_time_zone), "")
    return Reader(target, style.language or _preferred(accept_language), time_zone_or_utc(zone), style.show_customer)


def note(name: str, language: str, commands: Sequence[str] = (), *, again: bool = False) -> Page:
    """A page that shows no incident: one of the `notes` in the words."""
    return Page(language, words(language)["notes"][name]["title"], name, tuple(commands), again)


def is_answerable(incident: Incident, opened_at: Instant) -> bool:
    """Whether there is something to answer in a run of an incident."""
    return incident.state != IncidentState.RESOLVED and incident.attention.opened_at == opened_at


def page(
    incident: Incident, who: Reader, receivers: Receivers, now: Instant, nonce: str = "", answered: str = ""
) -> Page:
    """The page. `nonce`: of the form; without it there is none. `answered`: the id of a response given just now."""
    return _Writer(incident, who, receivers, now).page(nonce, answered)


def render(page: Page) -> str:
    """As HTML."""
    template = _environment().get_template("page.html")
    return template.render(page=page, words=words(page.language), css=_css())


@cache
def style_hash() -> str:
    """What a Content-Security-Policy calls the page's style sheet."""
    return f"'sha256-{b64encode(sha256(_css().encode()).digest()).decode()}'"


@cache
def words(language: str) -> Words:
    """The words of messages, and beside them those of the page."""
    files = (folder / f"{language}.yaml" for folder in (_TEMPLATES, _PAGES))
    messages, pages = (yaml.safe_load(file.read_text(encoding="utf-8")) for file in files)
    return {**messages, **pages}


class _Writer:
    """Puts one incident into words."""

    def __init__(self, incident: Incident, who: Reader, receivers: Receivers, now: Instant) -> None:
        self._incident, self._who, self._receivers, self._now = incident, who, receivers, now
        self._words = words(who.language)
        open_items = (item for item in incident.items if concerns(item, receivers))
        self._open = sorted(open_items, key=lambda item: (-item.standing, -item.severity, item.since, item.record_id))
        self._seen_to = incident.attention.acknowledgement

    def page(self, nonce: str, answered: str) -> Page:
        words, who = self._words, self._who
        tone, state = self._state()
        zone = words["zone"].format(who.zone.key)
        return Page(
            language=who.language,
            title=self._title() if self._open and tone != "over" else state,
            tone=tone,
            state=state,
            notice=self._notice(answered) if answered else "",
            rows=tuple(map(self._row, self._open[:_ITEMS])) if tone != "over" else (),
            more=max(len(self._open) - _ITEMS, 0),
            in_all=self._incident.unfollowed and self._incident.unfollowed + len(self._open),
            audit=f"puntual incidents audit {quote(self._incident.incident_id)}",
            next=self._next() if tone != "over" else "",
            told=tuple(map(self._told, self._incident.deliveries)),
            said=tuple(map(self._said, reversed(self._incident.attention.responses[-_RESPONSES:]))),
            form=self._form(nonce) if nonce and tone != "over" else None,
            explain=explains(self._open[0]) if self._open else "",
            foot=f"{words['as'].format(who.target)} {zone}" if tone != "over" else zone,
        )

    def _state(self) -> tuple[str, str]:
        states, seen_to = self._words["states"], self._seen_to
        if self._incident.state == IncidentState.RESOLVED:
            said = self._incident.attention.responses[-1:]
            closed = [response.by for response in said if response.action == Action.RESOLVE]
            return "over", states["closed"].format(clean(closed[0])) if closed else states["resolved"]
        if seen_to is None:
            return "open", states["open"]
        by, until = clean(seen_to.by), self._when(seen_to.until)
        if self._incident.state == IncidentState.OPEN:
            return "open", states["open"] if seen_to.snoozed else states["more"].format(by)
        if seen_to.snoozed:
            return "snoozed", states["snoozed"].format(by, until)
        return "answered", states["mine"].format(until) if self._is_mine(seen_to) else states["acknowledged"].format(
            by, until
        )

    def _title(self) -> str:
        """The worst, or how many of the worst kind there are."""
        worst = [item for item in self._open if item.standing == self._open[0].standing]
        headings = self._words["headings"]["breach" if worst[0].standing == Standing.BROKEN else "at_risk"]
        service = service_of(worst)
        if len(worst) > 1:
            return str(headings["many"].get(service, headings["many"]["both"])).format(len(worst))
        return str(headings["one"].get(service, headings["one"]["sla"]))

    def _row(self, item: Item) -> Row:
        words, details, key = self._words, item.details or _NO_DETAILS, item.record_id.encode()
        customer_id, name = clean(customer_of(key)), clean(details.customer_name) if self._who.show_customer else ""
        times = {"due": item.due_at, "since": item.since}
        before, _, after = words["things"].get(item.kind, f"{item.kind} {{}}").partition("{}")
        return Row(
            standing=Standing(item.standing).name.lower(),
            before=before,
            subject=clean(split_key(key)[2]),
            after=after,
            customer=f"{name} ({customer_id})" if name and customer_id else name or customer_id,
            late=self._late(item),
            times=tuple(words[name].format(self._when(at)) for name, at in times.items() if at),
        )

    def _late(self, item: Item) -> str:
        if not item.due_at:
            return ""
        late = self._now - item.due_at
        # To the minute: the page is not a stopwatch.
        span = format_duration(abs(late) // (60 * SECOND) * 60 * SECOND) if abs(late) >= 60 * SECOND else "1 min"
        return str(self._words["late" if late >= 0 else "left"]).format(span)

    def _next(self) -> str:
        words, seen_to, at = self._words, self._seen_to, self._incident.next_step_at
        if self._incident.state == IncidentState.ACKNOWLEDGED and seen_to:
            return str(words["nobody_until"]).format(self._when(seen_to.until))
        steps, taken = self._receivers.steps, self._incident.steps_taken
        if not at or taken >= len(steps):
            return str(words["nobody"])
        step = steps[taken]
        names = [*step.targets, *step.people, *(f"{who(at)} ({schedule})" for schedule, who in step.on_call.items())]
        if at <= self._now:
            return str(words["next_now"]).format(", ".join(names))
        minutes = Instant(-(-(at - self._now) // (60 * SECOND)) * 60 * SECOND)
        return str(words["next_soon"]).format(", ".join(names), self._when(at), format_duration(minutes))

    def _told(self, delivery: Delivery) -> Line:
        words, kind = self._words, Kind(delivery.kind).name.lower()
        match delivery.state:
            case DeliveryState.ACCEPTED:
                how = words["told_when"].format(self._when(delivery.settled_at))
            case DeliveryState.DEAD:
                how = words["told_dead"].format(delivery.last_failure)
            case _:
                how = words["told_tried"].format(delivery.attempts)
        return Line(delivery.target, f"{words['kinds'][kind]}, {how}")

    def _said(self, response: Response) -> Line:
        saying = self._words["saying"][Action(response.action).name.lower()].format(clean(response.by))
        return Line(saying, self._when(response.heard_at), clean(response.comment, MAX_COMMENT))

    def _notice(self, answered: str) -> str:
        done, seen_to = self._words["done"], self._seen_to
        heard = [each for each in self._incident.attention.responses if each.response_id == answered]
        if not heard:
            return str(done["waiting"])
        action = Action(heard[0].action)
        if action == Action.ACKNOWLEDGE and seen_to and not self._is_mine(seen_to):
            return str(done["other"]).format(clean(seen_to.by))
        return str(done[action.name.lower()])

    def _form(self, nonce: str) -> Form:
        return Form(nonce, self._main(), tuple(Button(name, self._label(name)) for name in _OTHERS))

    def _main(self) -> Button | None:
        seen_to, labels = self._seen_to, self._words["actions"]
        if self._incident.state == IncidentState.OPEN or seen_to is None:
            return Button("acknowledge", labels["acknowledge"])
        if seen_to.snoozed:  # whoever put it off answered first; only taking over counts after that
            return Button("take_over", labels["acknowledge"])
        return None if self._is_mine(seen_to) else Button("take_over", labels["take_over"])

    def _label(self, name: str) -> str:
        choice = CHOICES[name]
        until = self._when(choice.until(self._now, self._who.zone)) if choice.until else ""
        return str(self._words["actions"][choice.action.name.lower()]).format(until)

    def _is_mine(self, seen_to: Acknowledgement) -> bool:
        return seen_to.by == self._who.target

    def _when(self, at: Instant) -> str:
        """The time; before it the day, if that is not today."""
        local, today = (to_datetime(each).astimezone(self._who.zone) for each in (at, self._now))
        days = {-1: "yesterday", 0: "today", 1: "tomorrow"}
        day = days.get((local.date() - today.date()).days)
        return str(self._words[day]).format(f"{local:%H:%M}") if day else f"{local:%Y-%m-%d %H:%M}"


def _preferred(accept_language: str) -> str:
    """The first language of an Accept-Language header that there are words for."""
    spoken: Iterable[str] = (tag.strip()[:2].lower() for tag in accept_language.split(","))
    return next((language for language in spoken if language in LANGUAGES), _FALLBACK_LANGUAGE)


@cache
def _css() -> str:
    return (_PAGES / "page.css").read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_PAGES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
