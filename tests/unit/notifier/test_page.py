"""The page behind a link: what it says of an incident, to whom, and what can be answered."""

import re
from zoneinfo import ZoneInfo

import pytest

from services.notifier.beliefs import Receivers, Step
from services.notifier.incident import Incident, IncidentState
from services.notifier.items import NONE, Details, Handling, Item, Standing
from services.notifier.outbox import Delivery, DeliveryState, Kind
from services.notifier.page import (
    CHOICES,
    Page,
    Reader,
    next_morning,
    note,
    page,
    reader,
    render,
    words,
)
from services.notifier.responses import Acknowledgement, Action, Attention, Response
from services.notifier.wording import LANGUAGES, Style
from services.shared.instant import Instant, format_instant, parse_instant
from tests.unit.notifier.builders import DETAILS, MINUTE, an_item, at
from tests.unit.notifier.test_wording import shape

MADRID = ZoneInfo("Europe/Madrid")
ANA = Reader("ana", "en", MADRID)
NOW, SOON = at(72), at(80)
#: Ten minutes after a breach Ana is told, ten later the manager and whoever is on call.
STEPS = (
    Step(10 * MINUTE, {"ana": "sms"}),
    Step(10 * MINUTE, {"manager": "email"}, {"on-call:shop": lambda now: "bob" if now >= at(80) else "carla"}),
)
RECEIVERS = Receivers({"desk": "email"}, at_risk=True, steps=STEPS)


def an_incident(*items: Item, steps_taken: int = 1, next_step_at: Instant = SOON) -> Incident:
    """Open since noon."""
    return Incident(
        "ops/kind=order_ready",
        "ops",
        IncidentState.OPEN,
        items=items or (an_item(),),
        attention=Attention(at(0)),
        steps_taken=steps_taken,
        next_step_at=next_step_at,
    )


def seen_to(by: str, *, snoozed: bool = False, responses: tuple[Response, ...] = ()) -> Incident:
    """Somebody sees to it for four hours, or put it off."""
    acknowledgement = Acknowledgement(by, at(70), at(310), snoozed)
    return an_incident(next_step_at=NONE)._replace(
        state=IncidentState.ACKNOWLEDGED, attention=Attention(at(0), acknowledgement, responses)
    )


def said(action: Action, by: str = "ana", *, comment: str = "") -> Response:
    """A response, heard two minutes ago."""
    return Response("r-1", action, by, at(70), comment=comment, via="page", heard_at=at(70))


def shown(incident: Incident, who: Reader = ANA, *, answered: str = "") -> Page:
    """The page with a form."""
    return page(incident, who, RECEIVERS, NOW, "a-nonce", answered)


def test_the_page_says_what_broke_for_whom_since_when_and_why() -> None:
    """In the reader's zone, with how late it is by now and the command that explains it."""
    seen = shown(an_incident())
    assert (seen.tone, seen.state, seen.title) == ("open", "Nobody is seeing to it", "Promise broken")
    (row,) = seen.rows
    assert f"{row.before}{row.subject}{row.after}" == "getting order A-1 ready"
    assert (row.customer, row.late, row.times) == ("C-7", "1 h 12 min late", ("due 13:00", "since 13:01"))
    assert seen.explain == "puntual explain C-7/order_ready/A-1"
    assert seen.foot == "You answer as ana. Times are those of Europe/Madrid."


def test_what_may_break_says_how_much_time_is_left() -> None:
    """What is broken comes first, and is what the title counts."""
    risky = an_item(Standing.AT_RISK, subject="A-2")._replace(due_at=at(97))
    seen = shown(an_incident(risky, an_item(), an_item(subject="A-3")))
    assert [row.subject for row in seen.rows] == ["A-1", "A-3", "A-2"]
    assert (seen.rows[2].standing, seen.rows[2].late) == ("at_risk", "25 min left")
    assert seen.title == "2 promises broken"
    assert shown(an_incident(risky)).title == "Promise at risk"


def test_what_is_not_open_is_not_shown() -> None:
    """Kept, closed by somebody, or others' by now."""
    others = (
        an_item(Standing.FULFILLED_LATE, subject="A-2"),
        an_item(subject="A-3")._replace(handling=Handling.CLOSED),
        an_item(subject="A-4", follow_up=True),
    )
    assert [row.subject for row in shown(an_incident(an_item(), *others)).rows] == ["A-1"]


def test_the_worst_ten_are_listed_and_the_rest_counted() -> None:
    """A phone has an end."""
    seen = shown(an_incident(*(an_item(subject=f"A-{number}") for number in range(13))))
    assert (len(seen.rows), seen.more) == (10, 3)
    assert "… and 3 more" in render(seen)


def test_names_are_shown_only_to_targets_that_may_know_them() -> None:
    """Everybody else reads the customer's id."""
    incident = an_incident(an_item(details=DETAILS._replace(customer_name="Ana García")))
    assert shown(incident).rows[0].customer == "C-7"
    assert shown(incident, ANA._replace(show_customer=True)).rows[0].customer == "Ana García (C-7)"


def test_the_page_says_who_is_told_next_and_when() -> None:
    """Whoever is on call then, not now."""
    assert shown(an_incident()).next == "manager, bob (on-call:shop), 14:20 (in 8 min)"
    assert shown(an_incident(steps_taken=0)).next == "ana, 14:20 (in 8 min)"
    assert shown(an_incident(next_step_at=at(72))).next == "manager, carla (on-call:shop), now"
    for nobody in (an_incident(next_step_at=NONE), an_incident(steps_taken=2)):
        assert shown(nobody).next == "nobody else; all who are to be told were told"
    assert shown(seen_to("bob")).next == "nobody before 18:10; if it is still open then, all are told again"


def test_the_page_says_who_was_told_what() -> None:
    """Accepted, on its way, or not to be reached."""
    states = {DeliveryState.ACCEPTED: "ana", DeliveryState.SENDING: "bob", DeliveryState.DEAD: "carla"}
    deliveries = tuple(
        Delivery(name, 1, Kind.BREACH, 3, name, "sms", (an_item(),), 1, at(1), state=state, attempts=2)._replace(
            settled_at=at(2), last_failure="network"
        )
        for state, name in states.items()
    )
    assert [f"{told.who} {told.what}" for told in shown(an_incident()._replace(deliveries=deliveries)).told] == [
        "ana it broke, accepted 13:02",
        "bob it broke, on its way, 2 attempts",
        "carla it broke, could not be reached (network)",
    ]


def test_the_page_says_what_people_said() -> None:
    """The newest first."""
    responses = (said(Action.COMMENT, "desk", comment="Nobody\u202e there"), said(Action.ACKNOWLEDGE))
    lines = shown(seen_to("ana", responses=responses)).said
    assert [(line.who, line.comment) for line in lines] == [("ana is seeing to it", ""), ("desk said", "Nobody there")]


@pytest.mark.parametrize(
    ("incident", "tone", "state", "main"),
    [
        (an_incident(), "open", "Nobody is seeing to it", ("acknowledge", "I am seeing to it")),
        (seen_to("bob"), "answered", "bob is seeing to it, until 18:10", ("take_over", "I am taking over")),
        (seen_to("ana"), "answered", "You are seeing to it, until 18:10", None),
        (
            seen_to("bob", snoozed=True),
            "snoozed",
            "Put off by bob until 18:10",
            ("take_over", "I am seeing to it"),
        ),
        (
            seen_to("bob")._replace(state=IncidentState.OPEN),
            "open",
            "bob is seeing to some of it, but more broke since",
            ("acknowledge", "I am seeing to it"),
        ),
    ],
)
def test_one_button_is_what_most_will_answer(
    incident: Incident, tone: str, state: str, main: tuple[str, str] | None
) -> None:
    """None where it is answered already: what is there at a second tap must do no harm."""
    seen = shown(incident)
    assert (seen.tone, seen.state) == (tone, state)
    assert seen.form
    assert seen.form.main == main
    assert [button.label for button in seen.form.others] == [
        "It can wait until 15:12",
        "It can wait until tomorrow 08:00",
        "It is dealt with",
    ]
    names = re.findall(r'name="answer" value="(\w+)"', render(seen))
    assert set(names) <= CHOICES.keys()
    assert len(names) == 4 + bool(main)


def test_what_is_over_offers_nothing() -> None:
    """Nor lists anything; it says who closed it, if somebody did."""
    over = an_incident()._replace(state=IncidentState.RESOLVED)
    assert (shown(over).state, shown(over).form, shown(over).rows) == ("It is over", None, ())
    closed = over._replace(attention=Attention(at(0), None, (said(Action.RESOLVE),)))
    assert shown(closed).state == "Dealt with, says ana"
    assert "<button" not in render(shown(over))


@pytest.mark.parametrize(
    ("incident", "answered", "notice"),
    [
        (seen_to("ana", responses=(said(Action.ACKNOWLEDGE),)), "r-1", "Thank you. You are seeing to it; nobody"),
        (seen_to("bob", responses=(said(Action.ACKNOWLEDGE),)), "r-1", "bob was first, and is seeing to it."),
        (seen_to("ana", responses=(said(Action.SNOOZE),)), "r-1", "It can wait, then."),
        (an_incident(), "r-1", "Your answer was taken and will show here in a moment."),
        (an_incident(), "", ""),
    ],
)
def test_the_page_says_what_came_of_an_answer(incident: Incident, answered: str, notice: str) -> None:
    """As the record has it, not as somebody hoped."""
    seen = shown(incident, answered=answered)
    assert seen.notice.startswith(notice)
    assert bool(seen.notice) == bool(notice)


@pytest.mark.parametrize(
    ("now", "zone", "morning"),
    [
        ("2026-11-26T02:12:00Z", "Europe/Madrid", "2026-11-26T07:00:00Z"),
        ("2026-11-26T12:00:00Z", "Europe/Madrid", "2026-11-27T07:00:00Z"),
        ("2026-11-26T06:00:00Z", "Europe/Madrid", "2026-11-26T07:00:00Z"),
        ("2026-11-26T06:00:01Z", "Europe/Madrid", "2026-11-27T07:00:00Z"),
        ("2026-10-24T20:00:00Z", "Europe/Madrid", "2026-10-25T07:00:00Z"),
        ("2026-11-26T23:30:00Z", "America/New_York", "2026-11-27T13:00:00Z"),
    ],
)
def test_the_morning_is_the_next_eight_o_clock_at_least_an_hour_away(now: str, zone: str, morning: str) -> None:
    """At three at night it is that of the same day; summer time may end before it."""
    assert format_instant(next_morning(parse_instant(now), ZoneInfo(zone))) == morning


def test_the_page_speaks_the_targets_language_else_its_browsers_else_english() -> None:
    """And has its zone, else the customers', else UTC; one that an event made up is UTC."""
    assert reader("ana", Style("it"), "es").language == "it"
    assert reader("ana", Style(), "de-DE,es-ES;q=0.8,en;q=0.5").language == "es"
    assert reader("ana", Style(), "").language == "en"
    incident = an_incident(an_item(details=Details(customer_time_zone="Europe/Rome")))
    assert reader("ana", Style(), "", incident).zone.key == "Europe/Rome"
    assert reader("ana", Style(time_zone="Europe/Madrid"), "", incident).zone.key == "Europe/Madrid"
    made_up = an_incident(an_item(details=Details(customer_time_zone="../../etc/passwd")))
    assert reader("ana", Style(), "", made_up).zone.key == "UTC"


def test_pages_speak_english_spanish_and_italian() -> None:
    """Each has the same words as English: none is missing, none is left over."""
    english, *others = (shape(words(language)) for language in sorted(LANGUAGES))
    assert all(other == english for other in others)
    assert english


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_every_page_can_be_shown_in_every_language(language: str) -> None:
    """Every state, kind, service, standing, answer and note; no placeholder is left over."""
    items = [
        an_item(standing, subject=f"A-{service}-{kind}")._replace(kind=kind, service=service)
        for standing in (Standing.BROKEN, Standing.AT_RISK)
        for service, kind in (("promises", "order_ready"), ("sla", "first_reply"), ("sla", "resolution"), ("new", "x"))
    ]
    who = Reader("ana", language, MADRID)
    incidents = [an_incident(item) for item in items] + [
        an_incident(*items),
        seen_to("bob"),
        seen_to("bob", snoozed=True),
    ]
    incidents += [seen_to("ana", responses=(said(action, comment="ok"),)) for action in Action]
    for kind in Kind:
        for state in DeliveryState:
            delivery = Delivery("d", 1, kind, 3, "ana", "sms", (items[0],), 1, at(1), state=state, settled_at=at(2))
            incidents.append(an_incident()._replace(deliveries=(delivery,)))
    pages = [shown(incident, who, answered="r-1") for incident in incidents]
    for each in [*pages, *(note(name, language, ["puntual"]) for name in words(language)["notes"])]:
        html = render(each)
        assert f'<html lang="{language}">' in html
        assert "{" not in html.partition("</style>")[2]


def test_what_comes_from_events_and_people_is_text_and_nothing_else() -> None:
    """A customer's id, a name, a comment, an order: none becomes markup."""
    evil = "<script>alert(1)</script>"
    item = an_item(details=DETAILS._replace(customer_name=evil))._replace(
        record_id=f"{evil.replace('/', '%2F')}/order_ready/{evil.replace('/', '%2F')}", kind="<b>{}"
    )
    responses = (said(Action.COMMENT, by=evil, comment=f'"{evil}'),)
    incident = an_incident(item)._replace(attention=Attention(at(0), None, responses))
    html = render(shown(incident, ANA._replace(show_customer=True, target='"><b>')))
    assert "<script" not in html
    assert "<b>&lt;b&gt;" in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 5


def test_the_page_brings_everything_it_needs() -> None:
    """No script, no style by attribute, nothing from elsewhere: so the policy can forbid all of it."""
    html = render(shown(seen_to("bob", responses=(said(Action.ACKNOWLEDGE),)), answered="r-1"))
    assert not re.search(r"<script|<link|<img|<iframe|style=|src=|https?:|@import|url\(| on\w+=", html)
