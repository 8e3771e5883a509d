"""The other ends of the channels: servers of their kind on this machine, answering as their documentation says."""
# ruff: noqa: ARG002, N802 - aiosmtpd names its hooks and their arguments

import asyncio
import io
import json
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar
from urllib.error import URLError
from urllib.request import urlopen

from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

from services.notifier.channels import CHANNELS
from services.notifier.channels.channel import Channel
from services.notifier.channels.console import Console
from services.shared.broker import free_port
from services.shared.fields import Fields, Problems

LOOPBACK = ["127.0.0.0/8"]
P = TypeVar("P", bound="WebProvider")


class Provider(Protocol):
    """A real server that plays the other end of a channel."""

    #: What arrived: (id, subject or type, text).
    received: list[tuple[str, str, str]]

    def channel(self) -> Channel:
        """The channel, set up for this server."""


def made(name: str, settings: Mapping[str, object]) -> Channel:
    """A channel as the configuration makes it. Raises DocumentError."""
    problems = Problems("notifier.yaml")
    fields = Fields(settings, "settings", problems)
    channel = CHANNELS[name](fields)
    fields.done()
    problems.check()
    return channel


class ConsoleProvider:
    """A stream."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def received(self) -> list[tuple[str, str, str]]:
        """What was printed."""
        subject, _, text = self.stream.getvalue().partition("\n")
        return [("", subject, text)] if subject else []

    def channel(self) -> Channel:
        """Writes to the stream."""
        return Console(self.stream)


class WebProvider:
    """An HTTP server. As it is, a webhook's receiver."""

    name = "webhook"
    #: What the environment variable HUNTER holds: all channels have a secret in it.
    secret = "{url}"
    settings: ClassVar[Mapping[str, object]] = {"url": "env:HUNTER"}
    #: The usual answer.
    ok: tuple[int, object] = (204, None)

    def __init__(self) -> None:
        self.received: list[tuple[str, str, str]] = []
        self.requests: list[tuple[Mapping[str, str], bytes]] = []
        #: The statuses to answer with, the last for ever; none: as if all were well.
        self.answers: list[int] = []
        self.headers: dict[str, str] = {}
        self.body: str | None = None
        self.delay = 0.0
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        """Remember the request and answer as told."""
        body = await request.read()
        self.requests.append((request.headers, body))
        await asyncio.sleep(self.delay)
        usual, said = self.ok
        status = self.answers[0] if self.answers else usual
        del self.answers[: len(self.answers) > 1]
        if status == usual:
            self.received += self.read(request, body)
        text = self.body if self.body is not None else json.dumps(said)
        return web.Response(status=status, headers=self.headers, text=None if status == 204 else text)

    def read(self, request: web.Request, body: bytes) -> list[tuple[str, str, str]]:
        """What a request says."""
        message = json.loads(body)
        return [(request.headers["webhook-id"], message["type"], message["data"]["text"])]

    def bodies(self) -> list[Any]:
        """What was posted."""
        return [json.loads(body) for _, body in self.requests]

    def channel(self, **settings: Any) -> Channel:
        """Posts to this server."""
        return made(self.name, self.complete(**settings))

    def complete(self, **settings: Any) -> Mapping[str, object]:
        """The settings of the channel for this server."""
        written = json.loads(json.dumps(self.settings).replace("{url}", self.url))
        return {"networks": LOOPBACK, **written, **settings}


class SlackProvider(WebProvider):
    """Slack's chat.postMessage."""

    name = "slack"
    secret = "xoxb-hunter2"
    settings: ClassVar[Mapping[str, object]] = {"token": "env:HUNTER", "channel": "C0123", "url": "{url}"}
    ok = (200, {"ok": True, "channel": "C0123", "ts": "1795694400.000100"})

    def read(self, request: web.Request, body: bytes) -> list[tuple[str, str, str]]:
        """The message, if the token is right."""
        assert request.headers["authorization"] == "Bearer xoxb-hunter2"
        message = json.loads(body)
        subject, _, text = message["text"].partition("\n")
        return [(message["metadata"]["event_payload"]["delivery_id"], subject, text)]


class TeamsProvider(WebProvider):
    """A workflow of Microsoft Teams."""

    name = "teams"
    ok = (202, None)

    def read(self, request: web.Request, body: bytes) -> list[tuple[str, str, str]]:
        """The card."""
        (attachment,) = json.loads(body)["attachments"]
        assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
        heading, *lines = attachment["content"]["body"]
        text = "\n".join(line["inlines"][0]["text"] for line in lines)
        return [(heading["id"], heading["inlines"][0]["text"], text)]


class PagerDutyProvider(WebProvider):
    """PagerDuty's Events API v2: alerts by key."""

    name = "pagerduty"
    secret = "hunter2".ljust(32, "0")
    settings: ClassVar[Mapping[str, object]] = {"routing_key": "env:HUNTER", "url": "{url}"}
    ok = (202, {"status": "success", "message": "Event processed"})

    def __init__(self) -> None:
        super().__init__()
        self.open: dict[str, Mapping[str, Any]] = {}

    def read(self, request: web.Request, body: bytes) -> list[tuple[str, str, str]]:
        """Open or close an alert."""
        event = json.loads(body)
        assert event["routing_key"] == self.secret
        key = event["dedup_key"]
        if event["event_action"] == "resolve":
            self.open.pop(key, None)
            return []
        payload = self.open[key] = event["payload"]
        return [(key, payload["summary"], payload["custom_details"]["text"])]


class AlertmanagerProvider(WebProvider):
    """One member of an Alertmanager cluster that answers as it is told."""

    name = "alertmanager"
    settings: ClassVar[Mapping[str, object]] = {"urls": ["env:HUNTER"]}
    ok = (200, None)

    def read(self, request: web.Request, body: bytes) -> list[tuple[str, str, str]]:
        """The alerts."""
        return [
            (alert["labels"]["delivery"], alert["annotations"]["summary"], alert["annotations"]["description"])
            for alert in json.loads(body)
        ]


class SmsProvider(WebProvider):
    """A gateway for SMS."""

    name = "sms"
    secret = "Bearer hunter2"
    settings: ClassVar[Mapping[str, object]] = {
        "url": "{url}",
        "headers": {"authorization": "env:HUNTER"},
        "to": ["+34600123456"],
        "json": {"to": ["{to}"], "message": {"text": "{text}", "ref": "puntual-{id}"}, "flash": False},
    }
    ok = (201, {"status": "queued"})

    def read(self, request: web.Request, body: bytes) -> list[tuple[str, str, str]]:
        """The message, if whoever sends it may."""
        assert request.headers["authorization"] == "Bearer hunter2"
        message = json.loads(body)
        subject, _, text = message["message"]["text"].partition("\n")
        return [(message["message"]["ref"], subject, text)]


#: Channel → who plays its server, for all that speak HTTP.
WEB: Mapping[str, type[WebProvider]] = {
    provider.name: provider
    for provider in (
        AlertmanagerProvider, PagerDutyProvider, SlackProvider, SmsProvider, TeamsProvider, WebProvider,
    )
}  # fmt: skip


@asynccontextmanager
async def web_server(provider: P) -> AsyncIterator[P]:
    """A running HTTP server."""
    app = web.Application()
    app.router.add_route("*", "/hooks/hunter2{rest:.*}", provider.handle)
    runner = web.AppRunner(app, shutdown_timeout=0, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hooks/hunter2"
    yield provider
    await runner.cleanup()


class RealAlertmanager:
    """Alertmanager itself."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def alerts(self) -> list[Any]:
        """What fires now."""
        with urlopen(f"{self.url}/api/v2/alerts", timeout=5) as answer:  # noqa: S310 - our own server
            found: list[Any] = json.load(answer)
            return found

    @property
    def received(self) -> list[tuple[str, str, str]]:
        """The same, as all channels have it."""
        return [
            (alert["labels"]["delivery"], alert["annotations"]["summary"], alert["annotations"]["description"])
            for alert in self.alerts()
        ]

    def channel(self, **settings: Any) -> Channel:
        """Posts to it."""
        return made("alertmanager", {"urls": [f"{self.url}/"], "networks": LOOPBACK, **settings})


@contextmanager
def alertmanager(program: str, directory: Path) -> Iterator[RealAlertmanager]:
    """A running Alertmanager that tells nobody."""
    config, port = directory / "alertmanager.yaml", free_port()
    config.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    options = [f"--config.file={config}", f"--storage.path={directory}", f"--web.listen-address=127.0.0.1:{port}"]
    provider = RealAlertmanager(port)
    with subprocess.Popen(
        [program, *options, "--cluster.listen-address="], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            for _ in range(100):
                try:
                    provider.alerts()
                    break
                except URLError:
                    time.sleep(0.1)
            yield provider
        finally:
            process.terminate()


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
        here = {"host": "127.0.0.1", "port": self.port, "tls": "none", "networks": LOOPBACK}
        return made("email", {**here, **people, **settings})


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
