"""The standards as people read them."""

from datetime import date
from html.parser import HTMLParser

import pytest
import yaml

from services.shared.public_holidays import public_holidays
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
  - name: others
    calendar: office
    targets:
      next_reply: {limit: 2 business hours}
      periodic_update: {limit: 1 business day}
      complaint_resolved: {limit: 3 business days}
      callback_returned: {limit: 1 calendar day}
      customer_told: {limit: "2 calendar days, end of day"}
      appointment_started: {limit: window}
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
                "## Gold or silver customers, urgent matters or everything except chats and calls, on Monday and",
                "- We answer you within 1 hour 30 minutes. *We aim for 1 hour.*",
                "- We resolve your matter by the end of the next working day.",
                "- You need not contact us more than 2 times about the same.",
                "- When you write again, we answer within 2 hours of working time.",
                "- When your order is ready, we tell you by the end of the day 2 days later.",
                "- We come within the window that was agreed.",
                "- Monday to Friday: 09:00-14:00, 16:00-19:00",
                "- Monday to Sunday: around the clock",
            ],
        ),
        (
            "es",
            [
                "- Le respondemos en un plazo de 1 hora 30 minutos. *Nuestro objetivo: 1 hora.*",
                "- Resolvemos su asunto antes del cierre del siguiente día laborable.",
                "- Resolvemos su reclamación en un plazo de 3 días laborables.",
                "- Lunes a viernes: 09:00-14:00, 16:00-19:00",
            ],
        ),
        (
            "it",
            [
                "- Vi rispondiamo entro 1 ora 30 minuti. *Il nostro obiettivo: 1 ora.*",
                "- Risolviamo la vostra richiesta entro la fine del giorno lavorativo successivo.",
                "- Lunedì a venerdì: 09:00-14:00, 16:00-19:00",
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
        "  - Paused while held: customer, for 5 working days at most",
    ):
        assert line in rendered


def test_closing_days_of_the_year_to_come_are_named() -> None:
    """But not those on which nobody works anyway."""
    rendered = render(book(), "es", "md", TODAY, for_staff=False)
    assert "8 de diciembre (Inmaculada Concepción)" in rendered
    assert "6 de diciembre" not in rendered  # a Sunday


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


def shape(words: object) -> object:
    """Which words there are, whatever they are."""
    if isinstance(words, dict):
        return {name: shape(value) for name, value in words.items()}
    return len(words) if isinstance(words, list) else None
