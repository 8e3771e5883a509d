"""Puts a delivery into words: for people from a template in their language, for machines as JSON.

What comes from events anybody may have written: it is cut, freed of line breaks and other control characters, and only
ever filled in, never interpreted. For people web addresses in it are broken up, so that no client makes links of them;
machines get ids as they are.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError

from services.notifier.channels.channel import Message
from services.notifier.digest import kinds
from services.notifier.items import Details, Item, Severity, Standing
from services.notifier.outbox import Delivery, Kind
from services.notifier.own_words import OwnWords
from services.notifier.pace import settles_at
from services.shared.duration import format_duration
from services.shared.instant import SECOND, Instant, format_instant, to_datetime
from services.shared.keys import customer_of, split_key
from services.shared.text import LONGEST, clean, defanged, visible
from services.shared.zones import time_zone_or_utc

_TEMPLATES = Path(__file__).with_name("templates")
#: One file of words each.
LANGUAGES = frozenset(path.stem for path in _TEMPLATES.glob("*.yaml"))

_NO_DETAILS = Details()
#: Of an id in a command.
_LONGEST_ID = 1_000
#: Microseconds for which something is late before that is said.
_NOT_JUST_NOW, _MINUTE = 300 * SECOND, 60 * SECOND
#: Of a subject in a target's own words.
_LONGEST_SUBJECT = 250
_FALLBACK_LANGUAGE = "en"


#: What asks for an answer.
_ANSWERABLE = frozenset({Kind.BREACH, Kind.AT_RISK, Kind.ESCALATION, Kind.REMINDER, Kind.ACKNOWLEDGED, Kind.SNOOZED})


class Unwordable(Exception):
    """The template failed."""


class Style(NamedTuple):
    """How a target wants to be addressed."""

    #: Empty: the language that most customers in the message speak, if there is a template for it.
    language: str = ""
    #: IANA zone. Empty: each customer's, or UTC.
    time_zone: str = ""
    #: Whether customers' names may be told; otherwise only ids are.
    show_customer: bool = False
    #: Kind of message → its own words for it.
    templates: Mapping[str, OwnWords] = {}


class Line(NamedTuple):
    """An item, as the template sees it."""

    kind: str
    subject: str
    #: Name and id, or only the id; empty where the events name no customer.
    customer: str
    due: str
    #: Where the time in force is not the first word given.
    first_due: str
    standing: str
    reason: str
    #: By how much it was fulfilled late, or how late it is.
    late: str
    #: Team and site.
    where: str
    #: Whether it keeps coming and going.
    flaps: bool
    #: Which broken promise to the customer it is of late, where those are too many; else 0.
    breaches: int
    #: In whose place it is told, as they could not be reached.
    instead: str
    #: The source that could say otherwise and is not heard. `since`: when it, or a silent source, was last heard.
    unheard: str = ""
    since: str = ""
    #: Of a silent source: how many breaches are not told because of it.
    waiting: int = 0


class Notice(NamedTuple):
    """A delivery, as the template sees it."""

    kind: str
    #: Who sees to it, or says that it is dealt with.
    by: str
    #: "promises", "sla" or "sources"; "both": promises and standards; "mixed": sources and others.
    service: str
    #: Of items, listed or not; `NamedTuple` has a method `count` already.
    total: int
    lines: tuple[Line, ...]
    #: The command that explains the first of them.
    explain: str
    #: Where it can be answered; empty: nowhere.
    link: str
    #: On the console in place of a target that could not be reached: its name, and why.
    missed: str
    failure: str
    #: In whose place all that is listed is told.
    instead: str
    #: Whether to say that it may have been said before.
    may_repeat: bool
    #: How many notifications it stands for, if for several, and of which kinds are how many of their items.
    together: int
    #: About how many are open, where there are more than can be followed, and the command that shows every one.
    in_all: int
    audit: str
    kinds: Mapping[str, int]


class Occasion(NamedTuple):
    """What a message is sent for, beside what its delivery says."""

    #: It is said here because its target could not be reached.
    instead: bool = False
    #: Where it can be answered.
    link: str = ""
    #: Whoever receives it tells copies by their id, so that they need not be called what they are.
    copies_known: bool = False
    #: The deliveries that it is the digest of, if it is one.
    stands_for: Sequence[Delivery] = ()


ORDINARY = Occasion()


def word(delivery: Delivery, incident_id: str, style: Style, occasion: Occasion = ORDINARY) -> Message:
    """The message. Raises Unwordable."""
    notice = Notice(
        kind=Kind(delivery.kind).name.lower(),
        by=_told(delivery.by),
        service=service_of(delivery.items),
        total=delivery.item_count,
        lines=tuple(_line(item, style, delivery.decided_at) for item in delivery.items),
        explain=explains(delivery.items[0]),
        link=occasion.link if delivery.kind in _ANSWERABLE else "",
        missed=delivery.target if occasion.instead else "",
        failure=delivery.last_failure if occasion.instead else "",
        instead=_all_instead(delivery.items),
        may_repeat=delivery.may_repeat and not occasion.copies_known,
        together=len(occasion.stands_for),
        in_all=delivery.in_all,
        audit=f"puntual incidents audit {_quoted(incident_id) if incident_id else '--breaches'}",
        kinds=kinds(occasion.stands_for),
    )
    words_of = _words(_language(delivery, style))
    try:
        layout = _layout()
        subject, text = str(layout.subject(notice, words_of)), str(layout.text(notice, words_of)).strip()
    except (TemplateError, KeyError, IndexError) as error:
        raise Unwordable(str(error)) from error
    severity, misworded = Severity(delivery.severity).name.lower(), ""
    own = style.templates.get(notice.kind)
    if own and not (occasion.instead or occasion.stands_for):
        mark = str(words_of["may_repeat"]) if notice.may_repeat else ""
        known = facts(notice, delivery.target, severity, (subject, text))
        try:
            subject, text = _in_own_words(own, known, mark)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a template, the alert is told
            misworded = type(error).__name__
    return Message(
        delivery_id=delivery.delivery_id,
        incident_id=incident_id,
        target=delivery.target,
        kind=notice.kind,
        answers=delivery.answers,
        over=delivery.over,
        threads=delivery.threads,
        severity=severity,
        subject=subject,
        text=text,
        payload=_payload(delivery, incident_id, style, (subject, text), notice.link, occasion.stands_for),
        link=notice.link,
        misworded=misworded,
    )


def service_of(items: Iterable[Item]) -> str:
    """Which service items are of, as `Notice` has it."""
    services = {item.service for item in items}
    return services.pop() if len(services) == 1 else "mixed" if "sources" in services else "both"


def explains(item: Item) -> str:
    """The command that explains an item."""
    return "puntual sources" if item.service == "sources" else f"puntual explain {_quoted(item.record_id)}"


def _quoted(text: str) -> str:
    return quote(_told(text, _LONGEST_ID))


def facts(notice: Notice, target: str, severity: str, built_in: tuple[str, str]) -> Mapping[str, object]:
    """What a target's own words can speak of. `built_in`: subject and text as they are without."""
    subject, text = built_in
    named = {name: getattr(notice, name) for name in ("kind", "by", "service", "total", "lines", "explain", "link")}
    return {**named, "target": target, "severity": severity, "subject": subject, "text": text}


def _in_own_words(own: OwnWords, known: Mapping[str, object], mark: str) -> tuple[str, str]:
    said, text = own.say(known)
    # What the template itself holds was read when it was loaded; what it makes of it was not.
    subject, text = clean(said, _LONGEST_SUBJECT), visible(text, "\n\t")
    return subject if mark in subject else f"{subject} {mark}", text


def word_canary(target: str, canary_id: str, at: Instant, style: Style) -> Message:
    """A message that there is nothing to do about. What it raises (an alert, a page) it ends itself, in one go."""
    words: Any = _words(style.language or _FALLBACK_LANGUAGE)["canary"]
    subject, text = words["subject"], words["text"].format(target)
    data = {"delivery_id": canary_id, "target": target, "severity": "info", "subject": subject, "text": text}
    return Message(
        delivery_id=canary_id,
        incident_id="canary",
        target=target,
        kind="canary",
        answers=(),
        over=(canary_id,),
        threads=(),
        severity="info",
        subject=subject,
        text=text,
        payload={"type": "canary", "timestamp": format_instant(at), "data": data},
    )


@cache
def _layout() -> Any:  # noqa: ANN401 - a module of macros
    # No HTML is made, so nothing is escaped as if it were.
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701
        auto_reload=False,
    )
    environment.filters["fill"] = _filled
    return environment.get_template("message.j2").module


def _filled(words: str, *values: object) -> str:
    """Words with a value in place of each {}; there may be fewer of those. What values hold is no format."""
    first, *others = words.split("{}")
    return first + "".join(f"{values[number]}{other}" for number, other in enumerate(others))


@cache
def _words(language: str) -> Mapping[str, object]:
    words: Mapping[str, object] = yaml.safe_load((_TEMPLATES / f"{language}.yaml").read_text(encoding="utf-8"))
    return words


def _language(delivery: Delivery, style: Style) -> str:
    spoken = Counter((item.details or _NO_DETAILS).customer_locale[:2].lower() for item in delivery.items)
    language = style.language or spoken.most_common(1)[0][0]
    return language if language in LANGUAGES else _FALLBACK_LANGUAGE


def _told(text: str, longest: int = LONGEST) -> str:
    """Text from outside as people are told it: nothing in it can be clicked on."""
    return defanged(clean(text, longest))


def _line(item: Item, style: Style, decided_at: Instant) -> Line:
    details = item.details or _NO_DETAILS
    original = details.original_due_at
    is_source = item.service == "sources"
    since = item.since if is_source else details.unheard_since
    return Line(
        kind=_told(item.kind),
        subject=_told(_subject(item)),
        customer=_customer(item, style),
        due=_when(item.due_at, details, style) if item.due_at else "",
        first_due=_when(original, details, style) if original and original != item.due_at and not is_source else "",
        standing=Standing(item.face).name.lower(),
        reason=_told(details.reason),
        late=_late(item, original, decided_at),
        where=", ".join(filter(None, (_told(details.team), _told(details.site)))),
        flaps=bool(settles_at(item)),
        breaches=details.breaches or 0,
        instead=_instead([item]),
        unheard=_told(details.unheard),
        since=_when(since, details, style) if since else "",
        waiting=details.waiting,
    )


def _late(item: Item, original: Instant, now: Instant) -> str:
    """By how much it was fulfilled late, or how late what is broken is by now, where that is worth saying."""
    if item.standing == Standing.FULFILLED_LATE and original:
        return format_duration(item.since - original) if item.since > original else ""
    late = now - item.due_at if item.standing == Standing.BROKEN and item.due_at else 0
    return format_duration(late - late % _MINUTE) if late >= _NOT_JUST_NOW else ""


def _instead(items: Iterable[Item]) -> str:
    """In whose place a message tells of them."""
    return ", ".join(sorted({told.target for item in items for told in item.told}))


def _all_instead(items: Sequence[Item]) -> str:
    return _instead(items) if all(item.told for item in items) else ""


def _subject(item: Item) -> str:
    return split_key(item.record_id.encode())[2]


def _customer(item: Item, style: Style) -> str:
    customer_id = _told(customer_of(item.record_id.encode()))
    name = _told((item.details or _NO_DETAILS).customer_name) if style.show_customer else ""
    return f"{name} ({customer_id})" if name and customer_id else name or customer_id


def _when(at: Instant, details: Details, style: Style) -> str:
    """An instant as people there read it: 2026-11-26 17:00 Europe/Madrid."""
    zone = time_zone_or_utc(style.time_zone or details.customer_time_zone)
    return f"{to_datetime(at).astimezone(zone):%Y-%m-%d %H:%M} {zone.key}"


def _payload(
    delivery: Delivery,
    incident_id: str,
    style: Style,
    words: tuple[str, str],
    link: str,
    stands_for: Sequence[Delivery],
) -> Mapping[str, object]:
    subject, text = words
    several = {"stands_for": [each.delivery_id for each in stands_for]} if stands_for else {}
    return {
        "type": f"incident.{Kind(delivery.kind).name.lower()}",
        "timestamp": format_instant(delivery.decided_at),
        "data": {
            "delivery_id": delivery.delivery_id,
            "incident_id": incident_id,
            **several,
            "answers": list(delivery.answers),
            **({"by": clean(delivery.by)} if delivery.by else {}),
            **({"link": link} if link else {}),
            "severity": Severity(delivery.severity).name.lower(),
            "subject": subject,
            "text": text,
            "item_count": delivery.item_count,
            **({"in_all": delivery.in_all} if delivery.in_all else {}),
            "items": [_item(item, style) for item in delivery.items],
        },
    }


def _item(item: Item, style: Style) -> Mapping[str, object]:
    details = item.details or _NO_DETAILS
    fields: dict[str, object] = {
        "record_id": item.record_id,
        "service": item.service,
        "kind": item.kind,
        "customer_id": clean(customer_of(item.record_id.encode())),
        "subject_id": clean(_subject(item)),
        "standing": Standing(item.face).name.lower(),
        "severity": Severity(item.severity).name.lower(),
        "reason": clean(details.reason),
        "original_due_at": format_instant(details.original_due_at) if item.due_at and details.original_due_at else "",
        "due_at": format_instant(item.due_at) if item.due_at else "",
        "since": format_instant(item.since) if item.since else "",
        "site": clean(details.site),
        "team": clean(details.team),
        "breaches": details.breaches,
        "waiting": details.waiting,
        "unheard": clean(details.unheard),
        "unheard_since": format_instant(details.unheard_since) if details.unheard_since else "",
        "instead_of": _instead([item]),
        "customer_name": clean(details.customer_name) if style.show_customer else "",
    }
    return {name: value for name, value in fields.items() if value}
