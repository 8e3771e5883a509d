"""`answers` of notifier.yaml, and what its author is told where it is wrong."""

import pytest

from services.notifier.config import load, parse
from services.notifier.settings import NotifierSettings
from services.shared.documents import DocumentError
from tests.unit.notifier.test_links import a_delivery

FILE = "notifier.yaml"
REST = "targets: {console: {channel: console}}\nroutes: [{name: all, targets: [console]}]\n"
ANSWERS = REST + 'answers: {url: "https://puntual.example.com", secret: env:ANSWER_SECRET}\n'


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSWER_SECRET", "s" * 32)
    monkeypatch.setenv("SHORT_SECRET", "s" * 31)


def test_without_answers_there_are_no_links() -> None:
    """Nobody who did not ask for it serves a page."""
    assert parse(REST, FILE).links is None
    assert load(NotifierSettings().notifier).links is None


def test_with_answers_messages_have_links() -> None:
    """Of a week, if nothing else is said."""
    links = parse(ANSWERS, FILE).links
    assert links
    assert links.link(a_delivery(), "ops").startswith("https://puntual.example.com/a/")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('url: "https://puntual.example.com", ', "", "answers.url: is missing"),
        ("https://puntual", "puntual", "answers.url: 'puntual.example.com' is no address to put a path behind; write"),
        (".com", ".com?x=1", "answers.url: 'https://puntual.example.com?x=1' is no address to put a path behind"),
        (", secret: env:ANSWER_SECRET", "", "answers.secret: is missing; write env:NAME or file:/path"),
        ("env:ANSWER_SECRET", "hunter2", "answers.secret: is no reference to a secret; write env:NAME"),
        ("env:ANSWER_SECRET", "env:SHORT_SECRET", "answers.secret: has 31 characters; it takes 32: openssl rand"),
        ("env:ANSWER_SECRET", "env:ANSWER_SECRET, previous_secret: env:SHORT_SECRET", "previous_secret: has 31"),
        ("env:ANSWER_SECRET", "env:ANSWER_SECRET, expires: 0s", "answers.expires: '0s' is no time at all"),
        ("env:ANSWER_SECRET", "env:ANSWER_SECRET, port: 1", "answers.port: is no field; write one of expires"),
    ],
)
def test_what_is_wrong_is_said(old: str, new: str, said: str) -> None:
    """Place, value and remedy; never the secret."""
    with pytest.raises(DocumentError) as error:
        parse(ANSWERS.replace(old, new), FILE)
    assert said in str(error.value)
    assert "hunter2" not in str(error.value)
