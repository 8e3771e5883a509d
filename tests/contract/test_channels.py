"""One suite for every channel, against real servers: what they take, what they refuse, what they do to ours.

A new channel is one line in `CHANNELS` and one class here that plays its server.
"""
# ruff: noqa: ARG002, N802 - aiosmtpd names its hooks and their arguments

import asyncio
import io
import json
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from pathlib import Path
from typing import Any, Protocol

import pytest
from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from services.notifier.channels import CHANNELS
from services.notifier.channels.channel import Channel, Message
from services.notifier.channels.console import Console
from services.notifier.channels.webhook import sign, signing_key
from services.notifier.outbox import Accepted, Failure, Outcome, Refused, TryAgain
from services.shared.fields import Fields, Problems
from services.shared.instant import SECOND
from tests.conftest import left_out

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LOOPBACK = ["127.0.0.0/8"]
MESSAGE = Message(
    delivery_id="0b5e6a0c9d3f4a71",
    incident_id="ops/kind=order_ready",
    target="front-desk",
    kind="breach",
    answers=("aa00", "bb11"),
    over=(),
    threads=(),
    severity="critical",
    subject="Promise broken: order A-1 ready, for Łukasz 李",
    text="- order A-1 ready\nWhat to do: tell the customer now.\n.\nQUIT",
    payload={"type": "incident.breach", "timestamp": "2026-11-26T12:00:00Z", "data": {"text": "Łukasz 李"}},
)


class Provider(Protocol):
    """A real server that plays the other end of a channel."""

    #: What arrived: (id, subject or type, text).
    received: list[tuple[str, str, str]]
    #: How to answer; None: as if all were well.
    answer: int | None

    def channel(self) -> Channel:
        """The channel, set up for this server."""


class ConsoleProvider:
    """A stream."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.answer: int | None = None

    @property
    def received(self) -> list[tuple[str, str, str]]:
        """What was printed."""
        subject, _, text = self.stream.getvalue().partition("\n")
        return [("", subject, text)] if subject else []

    def channel(self) -> Channel:
        """Writes to the stream."""
        return Console(self.stream)


class WebProvider:
    """An HTTP server."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str, str]] = []
        self.requests: list[tuple[Mapping[str, str], bytes]] = []
        self.answer: int | None = None
        self.headers: dict[str, str] = {}
        self.delay = 0.0
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        """Remember the request and answer as told."""
        body = await request.read()
        self.requests.append((request.headers, body))
        await asyncio.sleep(self.delay)
        if self.answer is None:
            message = json.loads(body)
            self.received.append((request.headers["webhook-id"], message["type"], message["data"]["text"]))
        return web.Response(status=self.answer or 204, headers=self.headers, text="x" * 1_000_000)

    def channel(self, **settings: Any) -> Channel:
        """Posts to this server."""
        return made("webhook", {"url": self.url, "networks": LOOPBACK, **settings})


class MailProvider:
    """An SMTP server."""

    def __init__(self) -> None:
        self.mails: list[tuple[Envelope, EmailMessage]] = []
        self.answer: int | None = None
        self.recipients: dict[str, int] = {}
        self.port = 0

    @property
    def received(self) -> list[tuple[str, str, str]]:
        """The mails that were accepted."""
        return [(mail["Message-ID"], mail["Subject"], mail.get_content()) for _, mail in self.mails]

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Refuse some recipients."""
        if code := self.recipients.get(address):
            return f"{code} no"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Take the mail, or answer as told."""
        if self.answer:
            return f"{self.answer} hunter2 said no"
        assert isinstance(envelope.content, bytes)
        self.mails.append((envelope, BytesParser(_class=EmailMessage, policy=default).parsebytes(envelope.content)))
        return "250 kept as 42"

    def channel(self, **settings: Any) -> Channel:
        """Sends to this server."""
        people = {"from": "puntual@example.com", "to": ["a@example.com", "b@example.com"]}
        return made("email", {"host": "127.0.0.1", "port": self.port, "tls": "none", **people, **settings})


def made(name: str, settings: Mapping[str, object]) -> Channel:
    """A channel as the configuration makes it."""
    problems = Problems("notifier.yaml")
    fields = Fields(settings, "settings", problems)
    channel = CHANNELS[name](fields)
    fields.done()
    problems.check()
    return channel


@pytest.fixture
async def web_provider() -> AsyncIterator[WebProvider]:
    """A running HTTP server."""
    provider = WebProvider()
    app = web.Application()
    app.router.add_post("/hooks/hunter2", provider.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hooks/hunter2"
    yield provider
    await runner.cleanup()


@asynccontextmanager
async def mail_server(provider: MailProvider, **options: Any) -> AsyncIterator[MailProvider]:
    """A running SMTP server."""
    sessions: list[SMTP] = []

    def session() -> SMTP:
        sessions.append(SMTP(provider, enable_SMTPUTF8=True, **options))
        return sessions[-1]

    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", 0)
    provider.port = server.sockets[0].getsockname()[1]
    async with server:
        yield provider
    for session_ended in sessions:
        if session_ended.transport:
            session_ended.transport.close()
    await asyncio.sleep(0.01)  # let them close


@pytest.fixture
async def mail_provider() -> AsyncIterator[MailProvider]:
    """A running SMTP server that asks no questions."""
    async with mail_server(MailProvider()) as provider:
        yield provider


@pytest.fixture
def console_provider() -> ConsoleProvider:
    """A stream to print to."""
    return ConsoleProvider()


PROVIDERS = {"console": "console_provider", "email": "mail_provider", "webhook": "web_provider"}


def test_every_channel_is_tried() -> None:
    """A channel without a provider here would be a channel without tests."""
    assert PROVIDERS.keys() == CHANNELS.keys()


@pytest.fixture(params=sorted(CHANNELS))
def provider(request: pytest.FixtureRequest) -> Provider:
    """The other end of a channel; each test runs once for each."""
    found: Provider = request.getfixturevalue(PROVIDERS[request.param])
    return found


async def attempt(channel: Channel, message: Message = MESSAGE) -> Outcome:
    """One attempt, and everything closed after it."""
    try:
        return await channel.send(message)
    finally:
        await channel.close()


# --- what holds for every channel


async def test_what_is_accepted_has_arrived(provider: Provider) -> None:
    """Id, subject and text, in every script, whole."""
    assert isinstance(await attempt(provider.channel()), Accepted)
    ((_, subject, text),) = provider.received
    assert "order A-1 ready" in subject or subject == "incident.breach"
    assert "Łukasz 李" in subject + text


async def test_a_message_sent_again_carries_the_same_id(provider: Provider) -> None:
    """Whoever can tell copies by it, does."""
    for _ in range(2):
        await attempt(provider.channel())
    assert len({message_id for message_id, _, _ in provider.received}) == 1


# --- webhook


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Accepted()),
        (299, Accepted()),
        (302, Refused(Failure.CLIENT_ERROR)),
        (400, Refused(Failure.CLIENT_ERROR)),
        (401, Refused(Failure.AUTH)),
        (403, Refused(Failure.AUTH)),
        (404, Refused(Failure.CLIENT_ERROR)),
        (408, TryAgain(Failure.TIMEOUT)),
        (410, Refused(Failure.CLIENT_ERROR)),
        (413, Refused(Failure.TOO_LARGE)),
        (429, TryAgain(Failure.RATE_LIMITED)),
        (500, TryAgain(Failure.SERVER_ERROR)),
        (503, TryAgain(Failure.SERVER_ERROR)),
    ],
)
async def test_what_a_status_means(web_provider: WebProvider, status: int, outcome: Outcome) -> None:
    """Refused for good where trying again cannot help."""
    web_provider.answer = status
    assert await attempt(web_provider.channel()) == outcome


@pytest.mark.parametrize(
    ("header", "wait"),
    [("120", 120), ("soon", 0), ("-5", 0), ("9" * 40, 999_999_999), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)],
)
async def test_the_server_says_how_long_to_wait(web_provider: WebProvider, header: str, wait: int) -> None:
    """Retry-After in seconds or as a date; nonsense asks for nothing."""
    web_provider.answer, web_provider.headers = 429, {"Retry-After": header}
    assert await attempt(web_provider.channel()) == TryAgain(Failure.RATE_LIMITED, wait * SECOND)


async def test_a_redirect_is_not_followed(web_provider: WebProvider) -> None:
    """Whoever answers does not decide where else this goes."""
    web_provider.answer, web_provider.headers = 307, {"Location": web_provider.url}
    await attempt(web_provider.channel())
    assert len(web_provider.requests) == 1


async def test_a_silent_server_is_not_waited_for(web_provider: WebProvider) -> None:
    """The attempt ends after the timeout of the target."""
    web_provider.delay = 2
    assert await attempt(web_provider.channel(timeout="100ms")) == TryAgain(Failure.TIMEOUT)


async def test_no_server_is_a_matter_of_the_network() -> None:
    """Nobody listens, or the name is unknown: perhaps later."""
    for url in ("http://127.0.0.1:1/x", "http://nowhere.invalid/x"):
        assert await attempt(made("webhook", {"url": url, "networks": LOOPBACK})) == TryAgain(Failure.NETWORK)


async def test_a_signature_can_be_verified(web_provider: WebProvider, tmp_path: Path) -> None:
    """As Standard Webhooks describes it: HMAC over id, timestamp and the bytes that were sent."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    await attempt(web_provider.channel(secret=f"file:{secret}"))
    ((headers, body),) = web_provider.requests
    assert headers["webhook-id"] == MESSAGE.delivery_id
    expected = sign(signing_key(SECRET), MESSAGE.delivery_id, int(headers["webhook-timestamp"]), body)
    assert headers["webhook-signature"] == expected


async def test_without_a_secret_nothing_is_signed(web_provider: WebProvider) -> None:
    """A signature nobody can check would only look like safety."""
    await attempt(web_provider.channel())
    assert "webhook-signature" not in web_provider.requests[0][0]


def test_the_signature_is_the_one_of_the_specification() -> None:
    """The example that Standard Webhooks publishes."""
    body = b'{"test": 2432232314}'
    signature = sign(signing_key(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_secret_that_went_missing_is_tried_again(web_provider: WebProvider, tmp_path: Path) -> None:
    """Secrets are replaced while the service runs; a moment without one loses nothing and sends nothing unsigned."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    channel = web_provider.channel(secret=f"file:{secret}")
    secret.unlink()
    assert await attempt(channel) == TryAgain(Failure.AUTH)
    assert not web_provider.requests


# --- e-mail


async def test_a_mail_stands_in_its_thread_and_wants_no_answer(mail_provider: MailProvider) -> None:
    """Message-ID from the delivery, References to what it answers, to all recipients at once."""
    await attempt(mail_provider.channel())
    ((envelope, mail),) = mail_provider.mails
    assert envelope.rcpt_tos == ["a@example.com", "b@example.com"]
    assert mail["Message-ID"] == "<0b5e6a0c9d3f4a71@example.com>"
    assert (mail["In-Reply-To"], mail["References"]) == ("<bb11@example.com>", "<aa00@example.com> <bb11@example.com>")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content().splitlines() == MESSAGE.text.splitlines()


async def test_a_subject_cannot_smuggle_headers(mail_provider: MailProvider) -> None:
    """A line break in a subject is refused, never sent."""
    forged = MESSAGE._replace(subject="Hello\r\nBcc: everybody@example.com")
    assert await attempt(mail_provider.channel(), forged) == Refused(Failure.TEMPLATE)
    assert not mail_provider.mails


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (421, TryAgain(Failure.SERVER_ERROR)),
        (451, TryAgain(Failure.SERVER_ERROR)),
        (452, TryAgain(Failure.RATE_LIMITED)),
        (530, Refused(Failure.AUTH)),
        (550, Refused(Failure.CLIENT_ERROR)),
        (552, Refused(Failure.TOO_LARGE)),
        (554, Refused(Failure.CLIENT_ERROR)),
    ],
)
async def test_what_a_reply_code_means(mail_provider: MailProvider, code: int, outcome: Outcome) -> None:
    """4yz may pass, 5yz will not."""
    mail_provider.answer = code
    assert await attempt(mail_provider.channel()) == outcome


async def test_one_bad_address_does_not_bother_the_others_twice(mail_provider: MailProvider) -> None:
    """Those who got it count; only if nobody did is it tried again, or refused."""
    mail_provider.recipients = {"b@example.com": 550}
    assert await attempt(mail_provider.channel()) == Accepted("1 of 2, kept as 42")
    mail_provider.recipients = {"a@example.com": 550, "b@example.com": 450}
    assert await attempt(mail_provider.channel()) == TryAgain(Failure.SERVER_ERROR)
    mail_provider.recipients = {"a@example.com": 550, "b@example.com": 550}
    assert await attempt(mail_provider.channel()) == Refused(Failure.CLIENT_ERROR)


async def test_without_the_protection_asked_for_nothing_is_sent(mail_provider: MailProvider) -> None:
    """A server that offers no STARTTLS gets neither the mail nor the password."""
    assert isinstance(await attempt(mail_provider.channel(tls="starttls")), TryAgain)
    assert not mail_provider.mails


async def test_no_mail_server_is_a_matter_of_the_network() -> None:
    """Nobody listens: perhaps later."""
    provider = MailProvider()
    provider.port = 1
    assert await attempt(provider.channel()) == TryAgain(Failure.NETWORK)


async def test_a_mail_server_that_says_nothing_is_not_waited_for() -> None:
    """The attempt ends after the timeout of the target."""
    gone = asyncio.Event()

    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        gone.set()

    server = await asyncio.start_server(keep_silent, "127.0.0.1", 0)
    provider = MailProvider()
    provider.port = server.sockets[0].getsockname()[1]
    async with server:
        assert await attempt(provider.channel(timeout="100ms")) == TryAgain(Failure.TIMEOUT)
        await gone.wait()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody trusts yet, and its key."""
    if not shutil.which("openssl"):
        left_out("there is no openssl to make a certificate with")
    directory = tmp_path_factory.mktemp("certificate")
    certificate, key = directory / "cert.pem", directory / "key.pem"
    name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *name]
    subprocess.run([*new, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


@asynccontextmanager
async def safe_mail_server(certificate: tuple[Path, Path]) -> AsyncIterator[MailProvider]:
    """A mail server that wants STARTTLS and a login."""

    def check(*_: object) -> AuthResult:
        data: Any = _[-1]
        return AuthResult(success=data.password == b"right", handled=False)

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    options = {"authenticator": check, "auth_required": True, "tls_context": context, "require_starttls": True}
    async with mail_server(MailProvider(), **options) as provider:
        yield provider


@pytest.mark.parametrize(("password", "outcome"), [("right", Accepted("kept as 42")), ("wrong", Refused(Failure.AUTH))])
async def test_a_login_goes_through_tls(
    password: str, outcome: Outcome, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong password is refused for good: trying again would lock the account."""
    monkeypatch.setenv("SMTP_PASSWORD", password)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    async with safe_mail_server(certificate) as provider:
        channel = provider.channel(tls="starttls", username="puntual", password="env:SMTP_PASSWORD")
        assert await attempt(channel) == outcome


async def test_a_server_with_a_certificate_nobody_trusts_gets_nothing(certificate: tuple[Path, Path]) -> None:
    """Whoever stands between us and the mail server reads neither mail nor password."""
    async with safe_mail_server(certificate) as provider:
        assert isinstance(await attempt(provider.channel(tls="starttls")), TryAgain)
        assert not provider.mails
