"""The standards as people read them."""

from datetime import date
from html.parser import HTMLParser

import pytest
import yaml

from services.shared.public_holidays import public_holidays
from services.sla.conditions import ASKED
from services.sla.policies import BUILT_IN, METRICS, PolicyBook, load_policies, read_policies
from services.sla.rendering import FORMATS, LANGUAGES, render

TODAY = date(2026, 11, 23)
DOCUMENT = """
version: "7"
calendars:
  office: {zone: Europe/Madrid, holidays: [ES], hours: {mon-fri: "09:00-14:00, 16:00-19:00", sat: "10:00-13:00"}}
  always: {zone: UTC, hours: {mon-sun: "00:00-24:00"}}
sites: {Sevilla: always}
policies:
  - name: vip
    when: {tier: [gold, silver], any: [{priority: urgent}, {not: {kind: [chat, phone]}}], weekday: [sat, mon], team: ""}
    calendar: office
    pauses: {reasons: [customer], longest: 5 business days}
    targets:
      first_reply: {limit: 90min, preferred: 1h, warnings: [30min, 10min], grace: 1min}
      resolution: {limit: "1 business day, end of day"}
      requester_wait: {limit: "3 business days, end of day"}
      contacts_to_resolve: {limit: 2 contacts}
  - name: shop
    when: {not: {kind: complaint}, site: Sevilla}
    calendar: office
    targets: {next_reply: {limit: 2 business hours}}
  - name: others
    calendar: office
    pauses: {reasons: [customer], longest: 5 business days}
    targets:
      periodic_update: {limit: 1 business day}
      complaint_resolved: {limit: 3 business days, pauses: {reasons: [customer, parts]}}
      callback_returned: {limit: 1 calendar day}
      customer_told: {limit: "2 calendar days, end of day"}
      resolution: {limit: "0 calendar days, end of day"}
      requester_wait: {limit: "0 business days, end of day"}
      appointment_started: {limit: window, preferred: 10min}
"""


def book(text: str = DOCUMENT) -> PolicyBook:
    return read_policies(text, "test", public_holidays)


class Checker(HTMLParser):
    """Sees that every tag is closed by its own."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - its name is given
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("for_staff", [False, True])
def test_every_document_is_whole(language: str, style: str, for_staff: bool) -> None:
    """In each language and form, for both kinds of readers: no placeholder is left, and HTML is well-formed."""
    for text in (book(), load_policies(BUILT_IN)):
        rendered = render(text, language, style, TODAY, for_staff=for_staff)
        assert "{" not in rendered.partition("</style>")[2 if style == "html" else 0]
        if style == "html":
            checker = Checker()
            checker.feed(rendered)
            assert checker.open == []
            assert f'lang="{language}"' in rendered


@pytest.mark.parametrize(
    ("language", "lines"),
    [
        (
            "en",
            [
                "If more than one of these applies to you, the first one counts.",
                "## Gold and silver customers · urgent matters or everything except chats and calls · on Mondays and",
                "- We answer you within 1 hour and 30 minutes.¹ *We aim for 1 hour.*",
                "- We resolve your matter by the end of the next working day.¹",
                "- Not counting the time you take yourself, we resolve your matter by the end of the day, 3 working",
                "- You need not contact us more than twice about the same matter.",
                "## At Sevilla · except complaints",
                "- When you write again, we answer within 2 working hours.",
                "## Everybody, unless it says otherwise above",
                "- When your order is ready, we tell you by the end of the day, 2 days later.",
                "- Your appointment begins within the agreed window. *We aim to begin within 10 minutes of its start.*",
                "¹ Time in which your matter is on hold does not count (customer; 5 working days at most).",
                "- Monday to Friday: 09:00–14:00, 16:00–19:00",
                "- Monday to Sunday: around the clock",
            ],
        ),
        (
            "es",
            [
                "## Clientes gold y silver · asuntos urgentes o todo excepto chats y llamadas · los lunes y sábados",
                "- Le respondemos en un plazo de 1 hora y 30 minutos.¹ *Nuestro objetivo: 1 hora.*",
                "- Resolvemos su asunto antes del cierre del siguiente día laborable.¹",
                "- Sin contar el tiempo que dependa de usted, resolvemos su asunto antes del cierre del 3.º día",
                "- Resolvemos su reclamación en un plazo de 3 días laborables.²",
                "- Si nos vuelve a escribir, le respondemos en un plazo de 2 horas laborables.",
                "- Cuando su pedido esté listo, le avisamos antes de que acabe el 2.º día siguiente.",
                "- De lunes a viernes: 09:00–14:00, 16:00–19:00",
            ],
        ),
        (
            "it",
            [
                "## Clienti gold e silver · casi urgenti o tutto tranne chat e telefonate · di lunedì e sabato",
                "- Vi rispondiamo entro 1 ora e 30 minuti.¹ *Il nostro obiettivo: 1 ora.*",
                "- Risolviamo la vostra richiesta entro la fine del giorno lavorativo successivo.¹",
                "- Se ci scrivete di nuovo, vi rispondiamo entro 2 ore lavorative.",
                "- Non dovete contattarci più di due volte per lo stesso motivo.",
                "- Da lunedì a venerdì: 09:00–14:00, 16:00–19:00",
            ],
        ),
    ],
)
def test_what_customers_read(language: str, lines: list[str]) -> None:
    """Sentences without jargon."""
    rendered = render(book(), language, "md", TODAY, for_staff=False)
    for line in lines:
        assert any(said.startswith(line) for said in rendered.splitlines()), (line, rendered)
    for jargon in ("vip", "others", "grace", "policy", "version"):
        assert jargon not in rendered


def test_staff_read_how_it_is_measured() -> None:
    """Policy, limit, warnings, when a breach is announced, and what pauses it."""
    rendered = render(book(), "en", "md", TODAY, for_staff=True)
    for line in (
        "  - Policy: vip",
        "  - Measured: from when a contact is received until a person replies",
        "  - Warnings: 30 minutes before and 10 minutes before",
        "  - Announced: 1 minute after the limit",
        "  - Paused while held: customer, 5 working days at most",
    ):
        assert line in rendered


def test_a_hold_is_told_once_and_only_where_it_stops_a_clock() -> None:
    """Each different rule is a note, to which what it is for refers."""
    rendered = render(book(), "en", "md", TODAY, for_staff=False)
    notes = [line for line in rendered.splitlines() if line[:1] in {"¹", "²", "³"}]
    assert [note[0] for note in notes] == ["¹", "²"]
    assert notes[1].endswith("(customer or parts).")
    for line in rendered.splitlines():
        if line.startswith(("- When your order", "- If you ask us to call", "- Your appointment", "- You need not")):
            assert not {"¹", "²"} & set(line)
    assert "¹" not in render(load_policies(BUILT_IN), "en", "md", TODAY, for_staff=False)


def test_a_nested_condition_cannot_be_misread() -> None:
    """What belongs together among alternatives stands in brackets."""
    text = DOCUMENT.replace(
        "{not: {kind: complaint}, site: Sevilla}", "{any: [{site: A, tier: gold}, {channel: phone}]}"
    )
    assert "## (at A · gold customers) or what reaches us by phone\n" in render(
        book(text), "en", "md", TODAY, for_staff=False
    )


HOURS = """
version: "1"
calendars:
  office:
    zone: Europe/Rome
    holidays: [IT]
    hours: {mon-thu: "09:00-13:00", fri-sat: "22:00-06:00"}
    closed: {2026-12-24: Vigilia, 2027-08-06..2027-08-17: ferie, 2027-08-19: ferie}
    open: {2026-12-13: "10:00-20:00", 2026-12-08: as usual}
  phone: {zone: UTC, hours: {mon-sun: "00:00-24:00"}}
policies:
  - {name: calls, when: {kind: phone}, calendar: phone, targets: {first_reply: {limit: 1h}}}
  - {name: all, calendar: office, targets: {first_reply: {limit: 1 business day}}}
"""


def test_closing_days_of_the_year_to_come_are_named() -> None:
    """But not those on which nobody works anyway; a holiday of several days in one line; special hours apart."""
    rendered = render(book(), "es", "md", TODAY, for_staff=False)
    assert "### Días de cierre hasta noviembre de 2027" in rendered
    assert "- 8 de diciembre (Inmaculada Concepción)" in rendered
    assert "6 de diciembre" not in rendered  # a Sunday
    lines = render(book(HOURS), "it", "md", TODAY, for_staff=False).splitlines()
    assert [line for line in lines if "ferie" in line] == ["- 6 agosto – 17 agosto (ferie)", "- 19 agosto (ferie)"]
    special = lines.index("### Orario speciale")
    assert lines[special + 2 : special + 4] == ["- 8 dicembre: 09:00–13:00", "- 13 dicembre: 10:00–20:00"]
    assert "- Venerdì e sabato: 22:00–06:00" in lines


def test_customers_read_only_the_hours_that_count_for_them() -> None:
    """A calendar that no limit hangs on says nothing; where there are several, each group names its own."""
    one = render(book(HOURS), "en", "md", TODAY, for_staff=False)
    assert "## When we work\n" in one
    assert "office" not in one
    assert "phone" not in one
    two = render(book(HOURS.replace("limit: 1h", "limit: 1 business hour")), "en", "md", TODAY, for_staff=False)
    for line in ("Working hours: phone", "Working hours: office", "## When we work: office", "- Time zone: Rome"):
        assert f"{line}\n" in two
    staff = render(book(HOURS), "en", "md", TODAY, for_staff=True)
    assert "## When we work: phone\n" in staff
    assert "- Time zone: Europe/Rome\n" in staff


def test_what_somebody_wrote_is_text_on_the_page() -> None:
    """A site's name is no HTML."""
    rendered = render(book(DOCUMENT.replace("Sevilla", "<b>")), "en", "html", TODAY, for_staff=True)
    assert "<b>" not in rendered
    assert "&lt;b&gt;" in rendered


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_word(language: str) -> None:
    """A metric more is a line more in each."""
    path = BUILT_IN.with_name("wording")
    words, english = (yaml.safe_load((path / f"{name}.yaml").read_text()) for name in (language, "en"))
    assert shape(words) == shape(english)
    assert set(METRICS) <= set(words["metrics"])
    assert set(METRICS) == set(words["measured"])
    assert set(words["conditions"]) == set(ASKED) == set(words["unstated"]) | {"weekday"}
    for field, values in ASKED.items():
        assert not values or set(words["values"][field]) == set(values)


def shape(words: object) -> object:
    """Which words there are, whatever they are."""
    if isinstance(words, dict):
        return {name: shape(value) for name, value in words.items()}
    return len(words) if isinstance(words, list) else None
