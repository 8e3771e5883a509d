"""Reads `answers` of `notifier.yaml`: where people answer what they are told."""

from urllib.parse import urlsplit

from services.notifier.channels.web import required_secret
from services.notifier.links import Links
from services.shared.fields import Fields

#: Characters of a secret: fewer could be guessed.
SHORTEST = 32


def read_answers(document: Fields) -> Links | None:
    """The links that messages get; None: none do."""
    if "answers" not in document:
        return None
    fields = document.section("answers")
    url = fields.text("url")
    if url and not _is_base(url):
        fields.problem("url", f"{url!r} is no address to put a path behind; write https://puntual.example.com")
    secrets = [_secret(fields, name) for name in ("secret", "previous_secret") if name == "secret" or name in fields]
    lasting = fields.span("expires", "7d")
    fields.done()
    return Links(url, secrets, lasting)


def _secret(fields: Fields, name: str) -> str:
    """A secret's value, read once: messages must go out also when its file is gone. Empty where it has a problem."""
    secret = required_secret(fields, name)
    value = secret.reveal() if secret else ""
    if secret and len(value) < SHORTEST:
        fields.problem(name, f"has {len(value)} characters; it takes {SHORTEST}: openssl rand -hex 32")
    return value


def _is_base(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and not (parts.query or parts.fragment)
