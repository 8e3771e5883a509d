"""What people and machines read."""

import json

import pytest

from services.notifier.beliefs import NEWS
from services.notifier.digest import merged
from services.notifier.items import NONE, Details, Item, Severity, Standing, Told
from services.notifier.outbox import Delivery, Kind
from services.notifier.wording import LANGUAGES, Occasion, Style, _words, word
from services.shared.instant import parse_instant
from services.shared.text import clean
from tests.unit.notifier.builders import an_item, at

DETAILS = Details(
    original_due_at=parse_instant("2026-11-24T16:00:00Z"),
    customer_name="Ana García",
    customer_locale="es-ES",
    customer_time_zone="Europe/Madrid",
    site="Madrid",
    team="workshop",
    reason="due_passed",
)
ENGLISH = Style("en")
PROMISED = ["order_ready", "order_delivered", "callback", "appointment"]
TIMED = ["first_reply", "callback_returned", "customer_told"]
TIMES = "\N{MULTIPLICATION SIGN}"
#: Every kind of message with every standing that it can speak of.
TOLD = sorted({(kind, standing) for (_, standing), kind in NEWS.items()})


def a_delivery(*items: Item, kind: Kind = Kind.BREACH, count: int = 0) -> Delivery:
    """A message to the target "desk"."""
    items = items or (an_item(details=DETAILS),)
    return Delivery(
        delivery_id="0b5e6a0c9d3f4a71",
        sequence=1,
        kind=kind,
        severity=Severity.CRITICAL,
        target="desk",
        channel="email",
        items=items,
        item_count=count or len(items),
        decided_at=at(1),
        last_failure="expired",
    )


def shape(words: object) -> object:
    """The keys of nested mappings."""
    return {key: shape(value) for key, value in words.items()} if isinstance(words, dict) else None


def test_a_message_says_what_it_answers() -> None:
    """To whom, of which kind, and what of the earlier ones a channel has to know."""
    answer = a_delivery(an_item(Standing.FINE), kind=Kind.RESOLVED)._replace(
        answers=("a", "b"), over=("b",), threads=("1.1",)
    )
    message = word(answer, "ops", ENGLISH)
    assert (message.target, message.kind) == ("desk", "resolved")
    assert (message.answers, message.over, message.threads) == (("a", "b"), ("b",), ("1.1",))


def test_one_broken_promise_in_full() -> None:
    """What was promised to whom by when, where, why it is told, and what to do next."""
    item = an_item(details=DETAILS._replace(original_due_at=at(0)))._replace(kind="appointment")
    message = word(a_delivery(item), "ops", ENGLISH)
    assert message.subject == "Promise broken: appointment A-1"
    assert message.text.splitlines() == [
        "- appointment A-1, for C-7, due 2026-11-26 13:00 Europe/Madrid: the time has passed [workshop, Madrid]",
        "What to do: tell the customer now, and agree on a new time.",
        "Why: puntual explain C-7/order_ready/A-1",
    ]


def test_every_alert_says_what_can_still_be_done() -> None:
    """A promise can be renegotiated; a standard, which nobody promised to the customer in person, can only be met."""
    standard = an_item()._replace(service="sla", kind="first_reply")
    assert "see to it now, and apologise" in word(a_delivery(standard), "ops", ENGLISH).text
    assert "agree on new times" in word(a_delivery(standard, an_item()), "ops", ENGLISH).text
    assert "What to do" not in word(a_delivery(an_item(Standing.FINE), kind=Kind.RESOLVED), "ops", ENGLISH).text


def test_the_command_that_explains_can_be_pasted_into_a_shell() -> None:
    """Where the events name no customer the id begins with a tilde, which a shell would take for a home directory."""
    item = an_item()._replace(record_id="~A-1/order_ready/A-1")
    assert word(a_delivery(item), "ops", ENGLISH).text.endswith("Why: puntual explain '~A-1/order_ready/A-1'")
    long = an_item()._replace(record_id=f"C-7/order_ready/{'A' * 240}")
    assert word(a_delivery(long), "ops", ENGLISH).text.endswith(f"Why: puntual explain {long.record_id}")


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "; the customer was let down 3 times of late ["),
        ("es", "; 3 incumplimientos con este cliente últimamente ["),
        ("it", "; 3 inadempienze verso questo cliente negli ultimi tempi ["),
    ],
)
def test_a_repeated_breach_says_so(language: str, said: str) -> None:
    """To people and machines, without the customer's name; its end does not, nor does what is not repeated."""
    item = an_item(details=DETAILS._replace(breaches=3))
    message = word(a_delivery(item), "ops", Style(language))
    assert said in message.text
    assert "García" not in message.text
    assert json.loads(json.dumps(message.payload))["data"]["items"][0]["breaches"] == 3
    late = item._replace(standing=Standing.FULFILLED_LATE)
    assert said not in word(a_delivery(late, kind=Kind.RESOLVED), "ops", Style(language)).text
    for breaches in (0, None):
        ordinary = word(a_delivery(an_item(details=DETAILS._replace(breaches=breaches))), "ops", Style(language))
        assert said.split()[-2] not in ordinary.text
        assert "breaches" not in str(ordinary.payload)


def test_alerts_speak_english_spanish_and_italian() -> None:
    """Each has the same words as English: none is missing, none is left over."""
    assert sorted(LANGUAGES) == ["en", "es", "it"]
    english, *others = (shape(_words(language)) for language in sorted(LANGUAGES))
    assert all(other == english for other in others)


def test_a_time_agreed_later_stands_beside_the_first_word() -> None:
    """The original word stays, also for those who are told."""
    assert "(first promised for 2026-11-24 17:00 Europe/Madrid)" in word(a_delivery(), "ops", ENGLISH).text


def test_many_broken_promises_are_counted() -> None:
    """The worst are listed, the rest is a number."""
    message = word(a_delivery(an_item(), an_item(subject="A-2"), count=12), "ops", ENGLISH)
    assert message.subject == "12 promises broken"
    assert "… and 10 more" in message.text


@pytest.mark.parametrize(
    ("language", "said"), [("en", "(may repeat)"), ("es", "(puede repetirse)"), ("it", "(può ripetersi)")]
)
def test_a_message_that_may_repeat_says_so(language: str, said: str) -> None:
    """At the end of its first line, unless whoever gets it knows copies by their ids."""
    twice = a_delivery()._replace(may_repeat=True)
    assert word(twice, "ops", Style(language)).subject.endswith(f" {said}")
    assert "(" not in word(twice, "ops", Style(language), Occasion(copies_known=True)).subject
    assert "(" not in word(a_delivery(), "ops", Style(language)).subject


@pytest.mark.parametrize(
    ("language", "subject", "counted"),
    [
        ("en", "3 promises broken (2 notifications in one)", f"2 {TIMES} getting order … ready"),
        ("es", "(2 avisos en uno)", f"2 {TIMES} "),
        ("it", "(2 notifiche in una)", f"2 {TIMES} "),
    ],
)
def test_one_message_for_several_says_that_it_is_and_counts_by_kind(language: str, subject: str, counted: str) -> None:
    """For machines it names those that it stands for."""
    callback = an_item(subject="V-1")._replace(kind="callback")
    several = [a_delivery(an_item(), callback)._replace(delivery_id="a"), a_delivery(an_item(subject="A-2"))]
    message = word(merged(several), "", Style(language), Occasion(stands_for=several))
    assert message.subject.endswith(subject)
    first, second, *listed = message.text.splitlines()
    assert first.startswith(counted)
    assert second.startswith(f"1 {TIMES} ")
    assert [line[:2] for line in listed[:3]] == ["- "] * 3
    assert json.loads(json.dumps(message.payload))["data"]["stands_for"] == ["a", several[1].delivery_id]
    assert "stands_for" not in str(word(several[0], "ops", ENGLISH).payload)


def test_a_late_fulfilment_says_how_late() -> None:
    """Counted from the first word given."""
    item = an_item(Standing.FULFILLED_LATE, 125, details=DETAILS._replace(original_due_at=at(0), reason="fulfilled"))
    message = word(a_delivery(item, kind=Kind.RESOLVED), "ops", ENGLISH)
    assert message.subject == "Done, but late: getting order A-1 ready"
    assert "2 h 05 min late" in message.text


@pytest.mark.parametrize(
    ("minutes", "said"), [(4.99, ""), (5, "5 min"), (125.9, "2 h 05 min")], ids=["just now", "a little", "by hours"]
)
def test_what_stays_broken_says_how_late_it_is(minutes: float, said: str) -> None:
    """Counted from the time in force to when the message was decided, in whole minutes."""
    item = an_item(details=DETAILS._replace(original_due_at=at(-60)))
    reminder = a_delivery(item, kind=Kind.REMINDER)._replace(decided_at=at(minutes))
    text = word(reminder, "ops", ENGLISH).text
    assert (f", {said} late" in text, " late" in text) == ((True, True) if said else (False, False))


@pytest.mark.parametrize("language", sorted(LANGUAGES))
@pytest.mark.parametrize(("kind", "standing"), TOLD)
@pytest.mark.parametrize("count", [1, 5])
def test_every_message_can_be_worded_in_every_language(
    language: str, kind: Kind, standing: Standing, count: int
) -> None:
    """No word is missing, for any kind, service and standing, and no placeholder is left over."""
    for service, names in (("promises", PROMISED), ("sla", TIMED)):
        for name in names:
            item = an_item(standing, details=DETAILS)._replace(kind=name, service=service)
            message = word(a_delivery(item, kind=kind, count=count), "ops", Style(language), Occasion(instead=True))
            assert "{" not in message.subject + message.text
            assert "A-1" in message.text


def test_a_kind_without_words_is_called_by_its_name() -> None:
    """A newer service may speak of what this one has no words for."""
    item = an_item()._replace(kind="refund")
    assert word(a_delivery(item), "ops", ENGLISH).subject == "Promise broken: refund A-1"


@pytest.mark.parametrize(
    ("language", "locale", "subject"),
    [
        ("it", "es-ES", "Promessa non mantenuta"),
        ("", "es-ES", "Promesa incumplida"),
        ("", "de-DE", "Promise broken"),
        ("", "", "Promise broken"),
    ],
)
def test_the_language_is_the_targets_else_the_customers_else_english(language: str, locale: str, subject: str) -> None:
    """The target's own language comes first."""
    item = an_item(details=DETAILS._replace(customer_locale=locale))
    assert word(a_delivery(item), "ops", Style(language)).subject.startswith(subject)


@pytest.mark.parametrize(
    ("target_zone", "customer_zone", "due"),
    [
        ("America/New_York", "Europe/Madrid", "2026-11-26 07:00 America/New_York"),
        ("", "Europe/Madrid", "2026-11-26 13:00 Europe/Madrid"),
        ("", "Moon/Tycho", "2026-11-26 12:00 UTC"),
        ("", "../../etc/passwd", "2026-11-26 12:00 UTC"),
        ("", "", "2026-11-26 12:00 UTC"),
    ],
)
def test_times_are_told_in_the_targets_zone_else_the_customers(target_zone: str, customer_zone: str, due: str) -> None:
    """A zone that an event made up is taken for UTC."""
    item = an_item(details=DETAILS._replace(customer_time_zone=customer_zone))
    assert due in word(a_delivery(item), "ops", Style("en", target_zone)).text


def test_names_are_told_only_to_targets_that_may_know_them() -> None:
    """Everybody else reads the customer's id, in the text and in the JSON."""
    shown, hidden = (word(a_delivery(), "ops", Style("en", show_customer=show)) for show in (True, False))
    assert "Ana García (C-7)" in shown.text
    assert "Ana García" in json.dumps(shown.payload, ensure_ascii=False)
    assert "García" not in hidden.text + json.dumps(hidden.payload, ensure_ascii=False)
    assert "C-7" in hidden.text


def test_an_item_without_details_can_still_be_told() -> None:
    """In a storm the record keeps identities only; they suffice for a line."""
    assert (
        "- getting order A-1 ready, for C-7, due 2026-11-26 12:00 UTC"
        in word(a_delivery(an_item(details=None)), "ops", ENGLISH).text
    )


def test_text_from_events_cannot_break_out_of_its_line() -> None:
    """No forged headers, no second line, no template code, no end of the length."""
    evil = an_item(
        subject="A%0D%0ABcc%3A%20all%40example.com",
        details=DETAILS._replace(customer_name="\x1b[31m{{ 7*7 }}\u202e{0}\n" + "x" * 500),
    )
    message = word(a_delivery(evil), "ops", Style("en", show_customer=True))
    assert message.subject == "Promise broken: getting order A Bcc: all@example.com ready"
    assert "{{ 7*7 }} {0}" in message.text
    assert not {"\x1b", "\r", "\u202e"} & set(message.text)
    assert len(message.text) < 500


def test_text_from_events_is_no_format() -> None:
    """Braces are told as they are, in a kind and a reason as in what is filled in, and nothing else is lost."""
    evil = an_item(subject="{}", details=DETAILS._replace(reason="{late}", customer_name="{}{0.__class__}"))
    message = word(a_delivery(evil._replace(kind="{refund.__class__}")), "ops", Style("en", show_customer=True))
    assert message.subject == "Promise broken: {refund.__class__} {}"
    assert message.text.startswith("- {refund.__class__} {}, for {}{0.__class__} (C-7), due 2026-11-26 13:00 ")
    assert ": {late} [workshop, Madrid]" in message.text


def test_clean_keeps_what_people_write() -> None:
    """Letters of every script, and emoji."""
    assert clean("Łukasz 李 😀\tO'Neil") == "Łukasz 李 😀 O'Neil"


def test_on_the_console_in_place_of_a_target_it_says_so() -> None:
    """Whoever reads the log sees who was not reached, and why."""
    message = word(a_delivery(), "ops", ENGLISH, Occasion(instead=True))
    assert message.subject.startswith("[not delivered to desk] Promise broken")
    assert message.text.startswith("desk could not be reached (expired).")


@pytest.mark.parametrize(
    ("language", "short", "long"),
    [
        (
            "en",
            "[instead of pager] Promise broken",
            "; told here because pager could not be reached [workshop, Madrid]",
        ),
        ("es", "[en lugar de pager] Promesa", "; se avisa aquí porque no se pudo avisar a pager [workshop, Madrid]"),
        ("it", "[al posto di pager] Promessa", "; avvisiamo qui perché non è stato possibile avvisare pager ["),
    ],
)
def test_in_place_of_another_target_it_says_of_each_item(language: str, short: str, long: str) -> None:
    """The heading does only where it is so of all of them."""
    missed = an_item(details=DETAILS)._replace(told=(Told("pager", Standing.BROKEN, "d-1", lost=True),))
    own = an_item(details=DETAILS, subject="B-1")
    alone, both = (word(a_delivery(*items), "ops", Style(language)) for items in ([missed], [missed, own]))
    assert alone.subject.startswith(short)
    assert long in alone.text
    assert "pager" not in both.subject
    assert [("pager" in line) for line in both.text.splitlines()[:2]] == [True, False]
    data = both.payload["data"]
    assert isinstance(data, dict)
    assert [item.get("instead_of") for item in data["items"]] == ["pager", None]


def test_machines_get_the_same_with_ids_and_instants() -> None:
    """The body of a webhook: type, timestamp, data; empty fields are left out."""
    payload = word(a_delivery(), "ops", ENGLISH).payload
    data = payload["data"]
    assert isinstance(data, dict)
    assert (payload["type"], payload["timestamp"]) == ("incident.breach", "2026-11-26T12:01:00Z")
    assert (data["delivery_id"], data["incident_id"], data["severity"]) == ("0b5e6a0c9d3f4a71", "ops", "critical")
    assert data["items"] == [
        {
            "record_id": "C-7/order_ready/A-1",
            "service": "promises",
            "kind": "order_ready",
            "customer_id": "C-7",
            "subject_id": "A-1",
            "standing": "broken",
            "severity": "critical",
            "reason": "due_passed",
            "original_due_at": "2026-11-24T16:00:00Z",
            "due_at": "2026-11-26T12:00:00Z",
            "since": "2026-11-26T12:01:00Z",
            "site": "Madrid",
            "team": "workshop",
        }
    ]


def test_a_message_is_the_same_at_every_attempt() -> None:
    """An idempotency key with another body would be refused."""
    delivery = a_delivery()
    again = delivery._replace(attempts=7, last_failure="network")
    assert word(delivery, "ops", ENGLISH) == word(again, "ops", ENGLISH)


@pytest.mark.parametrize(
    ("language", "subject", "text", "waiting", "over"),
    [
        (
            "en",
            "Source silent",
            "nothing heard from shop since 2026-11-26 12:01 UTC",
            "promises and standards due meanwhile that are not told yet: 8",
            "Heard again",
        ),
        (
            "es",
            "Origen en silencio",
            "no se recibe nada de shop desde 2026-11-26 12:01 UTC",
            "promesas y plazos vencidos entretanto de los que aún no se avisa: 8",
            "Se recibe de nuevo",
        ),
        (
            "it",
            "Origine silenziosa",
            "non si riceve nulla da shop dal 2026-11-26 12:01 UTC",
            "promesse e termini scaduti nel frattempo e non ancora segnalati: 8",
            "Di nuovo attiva",
        ),
    ],
)
def test_a_silent_source_is_said_in_every_language(
    language: str, subject: str, text: str, waiting: str, over: str
) -> None:
    """Since when, and how many breaches wait for it; then that it is heard again."""
    source = an_item(details=Details(at(1), reason="source_silent", waiting=8))._replace(
        service="sources", kind="source_silent", record_id="~shop/source_silent/shop", due_at=NONE
    )
    message = word(a_delivery(source), "ops", Style(language))
    assert message.subject == f"{subject}: shop"
    assert f"{text}; {waiting}" in message.text
    assert "puntual sources" in message.text
    assert "first promised" not in message.text
    end = a_delivery(source._replace(standing=Standing.FINE), kind=Kind.RESOLVED)
    assert word(end, "ops", Style(language)).subject == f"{over}: shop"


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "nothing heard from till since 2026-11-26 12:00 UTC, so it may have been done"),
        ("es", "no se recibe nada de till desde 2026-11-26 12:00 UTC, así que puede que esté hecho"),
        ("it", "non si riceve nulla da till dal 2026-11-26 12:00 UTC, quindi potrebbe essere già fatto"),
    ],
)
def test_who_is_not_heard_is_said_of_what_is_told_all_the_same(language: str, said: str) -> None:
    """In the breach, and to machines; not any more once it is over."""
    item = an_item(details=Details(at(0), reason="due_passed", unheard="till", unheard_since=at(0)))
    message = word(a_delivery(item), "ops", Style(language))
    assert said in message.text
    (told,) = message.payload["data"]["items"]  # type: ignore[index]
    assert (told["unheard"], told["unheard_since"]) == ("till", "2026-11-26T12:00:00Z")
    end = a_delivery(item._replace(standing=Standing.FULFILLED_LATE), kind=Kind.RESOLVED)
    assert said not in word(end, "ops", Style(language)).text
