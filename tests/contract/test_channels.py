"""One suite for every channel, against real servers: what they take, what they refuse, what they do to ours.

A new channel is one line in `CHANNELS` and one class in `providers` that plays its server.
"""

import asyncio
import json
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from aiohttp import web
from aiosmtpd.smtp import AuthResult

from services.notifier.channels import CHANNELS
from services.notifier.channels.channel import Channel, Message
from services.notifier.channels.pagerduty import LONGEST_SUMMARY
from services.notifier.channels.slack import MEANINGS, Slack
from services.notifier.channels.sms import LONGEST, text
from services.notifier.channels.teams import LARGEST, bodies
from services.notifier.channels.web import Web
from services.notifier.channels.webhook import Webhook, sign, signing_key
from services.notifier.outbox import Accepted, Failure, Outcome, Refused, TryAgain
from services.notifier.wording import Style, word_canary
from services.shared.documents import DocumentError
from services.shared.fields import Fields, Problems
from services.shared.instant import SECOND, parse_instant
from tests.conftest import left_out
from tests.contract.providers import (
    LOOPBACK,
    WEB,
    AlertmanagerProvider,
    ConsoleProvider,
    MailProvider,
    PagerDutyProvider,
    Provider,
    RealAlertmanager,
    SlackProvider,
    SmsProvider,
    TeamsProvider,
    WebProvider,
    alertmanager,
    made,
    mail_server,
    web_server,
)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
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
#: What tells of the end of it.
RESOLVED = MESSAGE._replace(
    delivery_id="11", kind="resolved", severity="info", answers=(MESSAGE.delivery_id,), over=(MESSAGE.delivery_id,)
)

CANARY = word_canary("front-desk", "ca0b5e6a0c9d3f4a", parse_instant("2026-11-26T12:00:00Z"), Style("en"))


@pytest.fixture
async def web_provider(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WebProvider]:
    """A running HTTP server: a webhook's, or of the channel that a test names."""
    async with web_server(WEB[getattr(request, "param", "webhook")]()) as provider:
        move(provider, provider.url, monkeypatch)
        yield provider


@pytest.fixture
async def mail_provider() -> AsyncIterator[MailProvider]:
    """A running SMTP server that asks no questions."""
    async with mail_server(MailProvider()) as provider:
        yield provider


@pytest.fixture
def console_provider() -> ConsoleProvider:
    """A stream to print to."""
    return ConsoleProvider()


@pytest.fixture
def real_alertmanager(tmp_path: Path) -> Iterator[RealAlertmanager]:
    """A running Alertmanager."""
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if not program:
        left_out("Alertmanager is not installed: apt-get install prometheus-alertmanager")
    with alertmanager(program, tmp_path) as provider:
        yield provider


#: Channel → the fixture that plays its server.
PROVIDERS = {
    "alertmanager": "real_alertmanager",
    "console": "console_provider",
    "email": "mail_provider",
    "pagerduty": "pagerduty",
    "slack": "slack",
    "sms": "sms",
    "teams": "teams",
    "webhook": "web_provider",
}


def test_every_channel_is_tried() -> None:
    """A channel without a provider here would be a channel without tests; all but two speak HTTP."""
    assert PROVIDERS.keys() == CHANNELS.keys() == WEB.keys() | {"console", "email"}


@pytest.fixture(params=sorted(CHANNELS))
def provider(request: pytest.FixtureRequest) -> Provider:
    """The other end of a channel; each test runs once for each."""
    found: Provider = request.getfixturevalue(PROVIDERS[request.param])
    return found


def move(provider: WebProvider, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the channel's settings lead there."""
    provider.url = url
    monkeypatch.setenv("HUNTER", provider.secret.replace("{url}", url))


async def attempt(channel: Channel, message: Message = MESSAGE) -> Outcome:
    """One attempt, and everything closed after it."""
    try:
        return await channel.send(message)
    finally:
        await channel.close()


def gist(outcome: Outcome) -> Outcome:
    """The outcome without what the provider calls the message."""
    return Accepted() if isinstance(outcome, Accepted) else outcome


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


async def test_a_canary_arrives_and_leaves_nothing_open(provider: Provider) -> None:
    """Alerts and pages that it raises it resolves itself, so that no sound is made for it where those matter."""
    assert isinstance(await attempt(provider.channel(), CANARY), Accepted)
    if isinstance(provider, RealAlertmanager):
        assert not provider.alerts()
        return
    assert any("This is a test of the way to front-desk." in text for _, _, text in provider.received)
    if isinstance(provider, PagerDutyProvider):
        events = provider.bodies()
        assert [event["event_action"] for event in events] == ["trigger", "resolve"]
        assert events[0]["payload"]["severity"] == "info"
        assert not provider.open


# --- what holds for all that speak HTTP

over_http = pytest.mark.parametrize("web_provider", sorted(WEB), indirect=True)

STATUSES: Mapping[int, Outcome] = {
    200: Accepted(),
    202: Accepted(),
    299: Accepted(),
    302: Refused(Failure.CLIENT_ERROR),
    307: Refused(Failure.CLIENT_ERROR),
    400: Refused(Failure.CLIENT_ERROR),
    401: Refused(Failure.AUTH),
    403: Refused(Failure.AUTH),
    404: Refused(Failure.CLIENT_ERROR),
    408: TryAgain(Failure.TIMEOUT),
    410: Refused(Failure.CLIENT_ERROR),
    413: Refused(Failure.TOO_LARGE),
    429: TryAgain(Failure.RATE_LIMITED),
    500: TryAgain(Failure.SERVER_ERROR),
    502: TryAgain(Failure.SERVER_ERROR),
    503: TryAgain(Failure.SERVER_ERROR),
}
#: Who means something else by a status.
PECULIAR: Mapping[tuple[str, int], Outcome] = {
    ("pagerduty", 200): TryAgain(Failure.SERVER_ERROR),
    ("pagerduty", 299): TryAgain(Failure.SERVER_ERROR),
}


@over_http
@pytest.mark.parametrize("status", STATUSES)
async def test_what_a_status_means(web_provider: WebProvider, status: int) -> None:
    """Refused for good where trying again cannot help."""
    web_provider.answers = [status]
    expected = PECULIAR.get((web_provider.name, status), STATUSES[status])
    assert gist(await attempt(web_provider.channel())) == expected


@over_http
@pytest.mark.parametrize(
    ("header", "wait"),
    [("120", 120), ("soon", 0), ("-5", 0), ("9" * 40, 999_999_999), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)],
)
async def test_the_server_says_how_long_to_wait(web_provider: WebProvider, header: str, wait: int) -> None:
    """Retry-After in seconds or as a date; nonsense asks for nothing."""
    web_provider.answers, web_provider.headers = [429], {"Retry-After": header}
    assert await attempt(web_provider.channel()) == TryAgain(Failure.RATE_LIMITED, wait * SECOND)


@over_http
async def test_a_redirect_is_not_followed(web_provider: WebProvider) -> None:
    """Whoever answers does not decide where else this goes."""
    web_provider.answers, web_provider.headers = [307], {"Location": web_provider.url}
    await attempt(web_provider.channel())
    assert len(web_provider.requests) == 1


@over_http
async def test_a_silent_server_is_not_waited_for(web_provider: WebProvider) -> None:
    """The attempt ends after the timeout of the target."""
    web_provider.delay = 2
    assert await attempt(web_provider.channel(timeout="100ms")) == TryAgain(Failure.TIMEOUT)


@over_http
async def test_a_huge_answer_is_not_read(web_provider: WebProvider) -> None:
    """What is accepted is accepted; where the answer matters, nonsense is no acceptance."""
    web_provider.body = "x" * 5_000_000
    outcome = await attempt(web_provider.channel())
    assert gist(outcome) == (TryAgain(Failure.SERVER_ERROR) if web_provider.name == "slack" else Accepted())


@over_http
async def test_no_server_is_a_matter_of_the_network(web_provider: WebProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens, or the name is unknown: perhaps later."""
    for url in ("http://127.0.0.1:1/x", "http://nowhere.invalid/x"):
        move(web_provider, url, monkeypatch)
        assert await attempt(web_provider.channel()) == TryAgain(Failure.NETWORK)


@over_http
async def test_a_server_that_hangs_up_is_a_matter_of_the_network(
    web_provider: WebProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is one that speaks something else."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    move(web_provider, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", monkeypatch)
    async with server:
        assert await attempt(web_provider.channel()) == TryAgain(Failure.NETWORK)


@over_http
async def test_a_secret_that_went_missing_is_tried_again(
    web_provider: WebProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets are replaced while the service runs; a moment without one loses nothing and sends nothing without it."""
    channel = web_provider.channel()
    monkeypatch.delenv("HUNTER")
    assert await attempt(channel) == TryAgain(Failure.AUTH)
    assert not web_provider.requests


@over_http
async def test_no_secret_is_logged(
    web_provider: WebProvider, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong."""
    caplog.set_level(0)
    for status in (200, 307, 401, 429, 500):
        web_provider.answers = [status]
        await attempt(web_provider.channel())
    web_provider.delay = 1
    await attempt(web_provider.channel(timeout="50ms"))
    move(web_provider, web_provider.url.replace("127.0.0.1", "localhost"), monkeypatch)
    await attempt(web_provider.channel(networks=["10.0.0.0/8"]))
    assert "list its network under `networks`" in caplog.text
    assert "hunter2" not in caplog.text


@over_http
async def test_no_way_leads_into_a_network_that_was_not_allowed(
    web_provider: WebProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a name stands for when it is connected to; an address is refused when it is read."""
    inside = web_provider.url
    move(web_provider, inside.replace("127.0.0.1", "localhost"), monkeypatch)
    assert await attempt(web_provider.channel(networks=["10.0.0.0/8"])) == Refused(Failure.BLOCKED_ADDRESS)
    move(web_provider, inside, monkeypatch)
    with pytest.raises(DocumentError, match="not public; if that is meant, allow its network: networks: ") as problem:
        web_provider.channel(networks=["10.0.0.0/8"])
    assert "hunter2" not in str(problem.value)
    assert not web_provider.requests


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0x7f.1", "0.0.0.0"])  # noqa: S104
async def test_however_an_address_is_spelt_it_is_refused(web_provider: WebProvider, host: str) -> None:
    """It is judged by what is connected to."""
    url = web_provider.url.replace("127.0.0.1", host)
    assert await attempt(Webhook(Web(), url)) == Refused(Failure.BLOCKED_ADDRESS)
    assert not web_provider.requests


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "0.1.2.3",
        "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1",
        "::", "::1", "::7f00:1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1",
        "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "64:ff9b::169.254.169.254", "64:ff9b:1::1",
        "2002:a00:1::", "2002:7f00:1::1", "2001:0:a00:1::1", "2001:db8::1", "no address",
    ],
)  # fmt: skip
def test_what_is_not_public_is_not_reached(address: str) -> None:
    """Private, shared, link-local, multicast, reserved, documentation; also inside of IPv6 addresses that translate."""
    assert not Web().allows(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_what_is_public_is_reached(address: str) -> None:
    """The internet, also through NAT64."""
    assert Web().allows(address)


@pytest.mark.parametrize(
    ("networks", "address", "allowed"),
    [
        (["10.0.0.0/8"], "10.1.2.3", True),
        (["10.0.0.0/8"], "::ffff:10.1.2.3", True),
        (["10.0.0.0/8"], "64:ff9b::a01:203", True),
        (["10.0.0.0/8"], "192.168.1.1", False),
        (["10.0.0.0/8"], "8.8.8.8", True),
        (["10.1.2.3"], "10.1.2.3", True),
        (["fd00::/8"], "fd12::1", True),
        (["fd00::/8"], "fe80::1", False),
    ],
)
def test_a_network_is_reached_once_it_is_allowed(networks: list[str], address: str, allowed: bool) -> None:
    """That one, and no other."""
    settings = Fields({"networks": networks}, "settings", Problems("notifier.yaml"))
    assert Web.read(settings).allows(address) == allowed


#: Channel, change to good settings, and what is said of it.
BAD_SETTINGS = [
    ("webhook", {"url": None}, "settings.url: is missing; write https://..., env:NAME or file:/path"),
    ("webhook", {"url": "ftp://hunter2"}, "settings.url: is no web address; write https://..., env:NAME or file:/path"),
    ("webhook", {"url": ["https://hunter2"]}, "settings.url: is no web address; write https://..."),
    ("webhook", {"url": "https://[hunter2"}, "settings.url: is no web address; write https://..."),
    ("webhook", {"url": "http://169.254.169.254/hunter2"}, "settings.url: is at an address that is not public; if"),
    ("webhook", {"url": "env:NOWHERE"}, "settings.url: is empty; set NOWHERE"),
    ("webhook", {"url": "env:"}, "settings.url: is no reference to a secret; write env:NAME or file:/path"),
    ("webhook", {"networks": ["10.0.0.1/8"]}, "settings.networks: '10.0.0.1/8' is no network; write for example 10."),
    ("webhook", {"networks": "10.0.0.0/8"}, "settings.networks: '10.0.0.0/8' is no list of texts; write for example"),
    ("webhook", {"timeout": "0s"}, "settings.timeout: '0s' is no time at all; write for example 10s"),
    ("webhook", {"color": "red"}, "settings.color: is no field; write one of networks, secret, timeout, url"),
    ("teams", {"url": None}, "settings.url: is missing; write https://..., env:NAME or file:/path"),
    ("teams", {"url": "hunter2"}, "settings.url: is no web address; write https://..., env:NAME or file:/path"),
    ("slack", {"token": None}, "settings.token: is missing; write env:NAME or file:/path"),
    ("slack", {"token": "xoxb-hunter2"}, "settings.token: is no reference to a secret; write env:NAME or file:/path"),
    ("slack", {"channel": None}, "settings.channel: is missing; write it"),
    ("slack", {"url": "hunter2"}, "settings.url: is no web address; write https://..., env:NAME or file:/path"),
    ("pagerduty", {"routing_key": None}, "settings.routing_key: is missing; write env:NAME or file:/path"),
    ("pagerduty", {"routing_key": "hunter2"}, "settings.routing_key: is no reference to a secret; write env:NAME or"),
    ("pagerduty", {"routing_key": "env:SHORT"}, "settings.routing_key: is no routing key; take the 32 characters of"),
    ("alertmanager", {"urls": "http://hunter2"}, "settings.urls: is no list of web addresses; write for example [h"),
    ("alertmanager", {"urls": []}, "settings.urls: is no list of web addresses; write for example [https://...]"),
    ("alertmanager", {"urls": ["hunter2"]}, "settings.urls: is no web address; write https://..., env:NAME or file:"),
    ("alertmanager", {"labels": {"delivery": "x"}}, "settings.labels.delivery: is no label of yours; use letters, "),
    ("alertmanager", {"labels": {"a-b": "x"}}, "settings.labels.a-b: is no label of yours; use letters, digits and"),
    ("alertmanager", {"labels": {"team": 5}}, "settings.labels.team: 5 is no text; write it in quotes"),
    ("alertmanager", {"fires_for": "long"}, "settings.fires_for: 'long' is no duration; write for example"),
    (
        "sms",
        {"to": ["0600123456"]},
        "settings.to: '0600123456' is no number; write country and all, in quotes: '+34600123",
    ),
    ("sms", {"to": [34600123456]}, "settings.to: 34600123456 is no number; write country and all, in quotes: '+34"),
    ("sms", {"json": None}, "settings.form: or json must be there, one of them; write for example {to: '{to}', text"),
    ("sms", {"form": {"to": "{to}"}}, "settings.form: or json must be there, one of them; write for example {to: '"),
    ("sms", {"json": {"to": "{to}"}}, "settings.json: says not whom to tell what; write {to} and {text} where they"),
    ("sms", {"json": {"a": "{to} {text} {key}"}}, "settings.json: has the blank {key}; write {to}, {text} or {id}"),
    ("sms", {"json": {"a": "{to} {text}", "key": "env:NOWHERE"}}, "settings.json: is empty; set NOWHERE"),
    ("sms", {"json": None, "form": ["{to} {text}"]}, "settings.form: is no form; write name: value pairs"),
    ("sms", {"json": None, "form": {"a": ["{to} {text}"]}}, "settings.form: is no form; write name: value pairs"),
    ("sms", {"to": "+34600123456"}, "settings.to: '+34600123456' is no list of numbers; write for example ['+3"),
    ("sms", {"method": "DELETE"}, "settings.method: 'DELETE' is unknown; write one of GET, POST, PUT"),
    ("sms", {"method": "GET"}, "settings.method: 'GET' sends no json; write form"),
    ("sms", {"headers": {"x-key": 52}}, "settings.headers.x-key: is no header; write name: text or name: env:NAME"),
    ("sms", {"headers": {"x-key": "hunter2\n"}}, "settings.headers.x-key: is no header; write name: text or name: e"),
    ("sms", {"headers": {"x-key": "env:NOWHERE"}}, "settings.headers.x-key: is empty; set NOWHERE"),
    ("sms", {"accepted": 200}, "settings.accepted: 200 is no list of numbers; write for example [200, 202]"),
]


@pytest.mark.parametrize(("name", "change", "said"), BAD_SETTINGS)
def test_bad_settings_are_told_with_place_and_remedy(
    name: str, change: Mapping[str, object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that is wrong and nothing else, without a secret in it."""
    provider = WEB[name]()
    move(provider, "https://example.com/hunter2", monkeypatch)
    monkeypatch.setenv("SHORT", "hunter2")
    with pytest.raises(DocumentError) as problem:
        provider.channel(**change)
    (line,) = str(problem.value).splitlines()
    assert line.startswith(f"notifier.yaml: {said}")
    assert "hunter2" not in line


# --- webhook


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


# --- Slack


@pytest.fixture
async def slack(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SlackProvider]:
    """A running server that answers like Slack."""
    async with web_server(SlackProvider()) as provider:
        monkeypatch.setenv("HUNTER", provider.secret)
        yield provider


async def test_an_answer_stands_in_the_thread_of_what_it_answers(slack: SlackProvider) -> None:
    """By the timestamp of the message that began it; what answers the answer, too."""
    first = await attempt(slack.channel())
    assert first == Accepted("1795694400.000100", "1795694400.000100")
    slack.body = json.dumps({"ok": True, "ts": "1795694500.000200"})
    answer = RESOLVED._replace(threads=(first.thread,))
    assert await attempt(slack.channel(), answer) == Accepted("1795694500.000200", "1795694400.000100")
    beginning, in_thread = slack.bodies()
    assert "thread_ts" not in beginning
    assert (in_thread["thread_ts"], in_thread["reply_broadcast"]) == ("1795694400.000100", False)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (MESSAGE._replace(threads=("1.1",)), True),
        (RESOLVED._replace(threads=("1.1", "2.2")), True),
        (RESOLVED._replace(threads=("1.1",)), False),
    ],
)
async def test_what_nobody_may_miss_is_shown_outside_the_thread_too(
    slack: SlackProvider, message: Message, shown: bool
) -> None:
    """A breach after a warning, and the answer to several messages."""
    await attempt(slack.channel(), message)
    (body,) = slack.bodies()
    assert (body["thread_ts"], body["reply_broadcast"]) == ("1.1", shown)


@pytest.mark.parametrize("error", ["cannot_reply_to_message", "thread_not_found", "restricted_action_thread_locked"])
async def test_a_thread_that_is_gone_does_not_swallow_the_answer(slack: SlackProvider, error: str) -> None:
    """It then stands in the channel; where the channel is gone, too, that is that."""
    slack.body = json.dumps({"ok": False, "error": error})
    assert await attempt(slack.channel(), MESSAGE._replace(threads=("1.1",))) == Refused(Failure.CLIENT_ERROR)
    assert ["thread_ts" in body for body in slack.bodies()] == [True, False]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        *MEANINGS.items(),
        ("channel_not_found", Refused(Failure.CLIENT_ERROR)),
        ("is_archived", Refused(Failure.CLIENT_ERROR)),
        ("not_in_channel", Refused(Failure.CLIENT_ERROR)),
        ("restricted_action", Refused(Failure.CLIENT_ERROR)),
        ("something_new", Refused(Failure.CLIENT_ERROR)),
    ],
)
async def test_what_an_error_of_slack_means(slack: SlackProvider, error: str, outcome: Outcome) -> None:
    """It answers 200 to everything."""
    slack.body = json.dumps({"ok": False, "error": error})
    slack.headers = {"Retry-After": "30"}
    expected = outcome._replace(retry_after=30 * SECOND) if isinstance(outcome, TryAgain) else outcome
    assert await attempt(slack.channel()) == expected


@pytest.mark.parametrize("body", ["", "ok", "[]", "null", "{}", "<html>", '{"ok": "true"}', "[" * 50_000])
async def test_what_is_no_answer_of_slack_is_no_acceptance(slack: SlackProvider, body: str) -> None:
    """Somebody stands in between: perhaps later."""
    slack.body = body
    assert await attempt(slack.channel()) == TryAgain(Failure.SERVER_ERROR)


async def test_events_cannot_mention_or_link(slack: SlackProvider) -> None:
    """What Slack gives a meaning is escaped."""
    forged = MESSAGE._replace(subject="<!channel> R&D", text="<https://evil.example|Reset your password>")
    await attempt(slack.channel(), forged)
    (body,) = slack.bodies()
    assert body["text"] == "*&lt;!channel&gt; R&amp;D*\n&lt;https://evil.example|Reset your password&gt;"


async def test_an_incoming_webhook_gets_the_text(slack: SlackProvider) -> None:
    """Without a token there are no threads, and "ok" is all that it answers."""
    slack.body = "ok"
    settings = {"url": slack.url, "networks": LOOPBACK}
    slack.secret = ""
    slack.answers = [299]  # it is not read as chat.postMessage would
    assert await attempt(made("slack", settings), RESOLVED._replace(threads=("1.1",))) == Accepted()
    assert [sorted(body) for body in slack.bodies()] == [["text"]]


def test_slack_is_where_it_always_is() -> None:
    """A token and a channel are enough."""
    settings = Fields({"token": "env:PATH", "channel": "C0123"}, "settings", problems := Problems("notifier.yaml"))
    Slack.read(settings)
    problems.check()


# --- Microsoft Teams


@pytest.fixture
async def teams(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TeamsProvider]:
    """A running server that answers like a workflow."""
    async with web_server(TeamsProvider()) as provider:
        monkeypatch.setenv("HUNTER", provider.url)
        yield provider


ITEMS = "\n".join(f"- order A-{n} ready {'李' * 1_000}" for n in range(10))


@pytest.mark.parametrize(
    ("subject", "text", "kept"),
    [
        (
            "10 promises broken",
            f"{ITEMS}\nWhat to do: hurry.\nWhy: because.",
            ["- order A-0", "- order A-7", "…", "Why"],
        ),
        ("10 promises broken", "x" * 100_000, []),
        ("李" * 100_000, "short", []),
    ],
)
async def test_whatever_is_said_fits_into_a_card(
    teams: TeamsProvider, subject: str, text: str, kept: list[str]
) -> None:
    """Fewer items, the worst of them first; at last the subject alone."""
    assert await attempt(teams.channel(), MESSAGE._replace(subject=subject, text=text)) == Accepted()
    ((_, body),) = teams.requests
    assert len(body) <= LARGEST
    ((_, heading, said),) = teams.received
    assert heading[:100] == subject[:100]
    assert all(beginning in said for beginning in kept)
    assert "A-9" not in said


async def test_what_teams_finds_too_large_is_said_in_the_fewest_words(teams: TeamsProvider) -> None:
    """Once; if even that is too large, never."""
    teams.answers = [413, 202]
    assert await attempt(teams.channel()) == Accepted()
    ((_, subject, text),) = teams.received
    assert (subject, text) == (MESSAGE.subject, "")
    teams.answers = [413]
    assert await attempt(teams.channel()) == Refused(Failure.TOO_LARGE)


def test_no_card_reads_events_as_markdown() -> None:
    """Runs of text show what is there; blocks of text would make links of it."""
    card = json.loads(next(bodies(MESSAGE._replace(text="[Reset](https://evil.example)"))))
    elements = card["attachments"][0]["content"]["body"]
    assert {element["type"] for element in elements} == {"RichTextBlock"}


# --- PagerDuty


@pytest.fixture
async def pagerduty(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PagerDutyProvider]:
    """A running server that keeps alerts like PagerDuty."""
    async with web_server(PagerDutyProvider()) as provider:
        monkeypatch.setenv("HUNTER", provider.secret)
        yield provider


async def test_every_breach_pages_and_is_resolved_on_its_own(pagerduty: PagerDutyProvider) -> None:
    """What breaks later is a page of its own, and what is done closes nothing that is not."""
    later = MESSAGE._replace(delivery_id="later", answers=())
    for message in (MESSAGE, later):
        await attempt(pagerduty.channel(), message)
    assert pagerduty.open.keys() == {MESSAGE.delivery_id, "later"}
    partly = RESOLVED._replace(over=())
    assert await attempt(pagerduty.channel(), partly) == Accepted(partly.delivery_id)
    assert pagerduty.open.keys() == {MESSAGE.delivery_id, "later"}
    await attempt(pagerduty.channel(), RESOLVED)
    assert pagerduty.open.keys() == {"later"}


async def test_a_breach_takes_the_place_of_its_warning(pagerduty: PagerDutyProvider) -> None:
    """The new alert is there before the old one goes."""
    warning = MESSAGE._replace(delivery_id="warned", kind="at_risk", severity="warning", answers=())
    await attempt(pagerduty.channel(), warning)
    await attempt(pagerduty.channel(), MESSAGE._replace(answers=("warned",), over=("warned",)))
    assert [event["event_action"] for event in pagerduty.bodies()] == ["trigger", "trigger", "resolve"]
    assert {key: alert["severity"] for key, alert in pagerduty.open.items()} == {MESSAGE.delivery_id: "critical"}


async def test_what_pagerduty_refused_in_between_is_tried_again_as_a_whole(pagerduty: PagerDutyProvider) -> None:
    """Every event can be repeated."""
    pagerduty.answers = [202, 500, 202]
    message = MESSAGE._replace(over=("aa00", "bb11"))
    assert await attempt(pagerduty.channel(), message) == TryAgain(Failure.SERVER_ERROR)
    assert isinstance(await attempt(pagerduty.channel(), message), Accepted)
    assert pagerduty.open.keys() == {MESSAGE.delivery_id}


async def test_an_event_says_what_pagerduty_wants_to_know(pagerduty: PagerDutyProvider) -> None:
    """No longer than it may be."""
    await attempt(pagerduty.channel(), MESSAGE._replace(subject="x" * 5_000))
    (alert,) = pagerduty.open.values()
    assert len(alert["summary"]) == LONGEST_SUMMARY
    assert alert["source"] == MESSAGE.incident_id
    assert alert["timestamp"] == "2026-11-26T12:00:00Z"


# --- Alertmanager


async def test_an_alert_fires_until_it_is_over(real_alertmanager: RealAlertmanager) -> None:
    """Labels say which incident, target and message; what is partly open goes on firing."""
    channel = real_alertmanager.channel(labels={"team": "ops"}, fires_for="2d")
    try:
        await channel.send(MESSAGE)
        await channel.send(MESSAGE)
        (alert,) = real_alertmanager.alerts()
        assert alert["labels"] == {
            "alertname": "Puntual",
            "incident": MESSAGE.incident_id,
            "target": "front-desk",
            "delivery": MESSAGE.delivery_id,
            "team": "ops",
        }
        assert alert["status"]["state"] == "active"
        assert alert["annotations"]["severity"] == "critical"
        assert await channel.send(RESOLVED._replace(over=())) == Accepted()
        assert len(real_alertmanager.alerts()) == 1
        assert await channel.send(RESOLVED) == Accepted()
        assert real_alertmanager.alerts() == []
    finally:
        await channel.close()


async def test_an_alert_takes_the_place_of_its_warning(real_alertmanager: RealAlertmanager) -> None:
    """Both in one request."""
    await attempt(real_alertmanager.channel(), MESSAGE._replace(delivery_id="warned", kind="at_risk"))
    await attempt(real_alertmanager.channel(), MESSAGE._replace(over=("warned",)))
    assert [alert["labels"]["delivery"] for alert in real_alertmanager.alerts()] == [MESSAGE.delivery_id]


async def test_all_members_must_take_an_alert(real_alertmanager: RealAlertmanager) -> None:
    """One that cannot is tried again, and those that have it do not mind."""
    async with web_server(AlertmanagerProvider()) as other:
        channel = real_alertmanager.channel(urls=[other.url, real_alertmanager.url])
        other.answers = [500, 400, 200]
        ends = [await channel.send(MESSAGE) for _ in range(3)]
        await channel.close()
    assert ends == [TryAgain(Failure.SERVER_ERROR), Refused(Failure.CLIENT_ERROR), Accepted()]
    assert len(real_alertmanager.alerts()) == 1


# --- SMS


@pytest.fixture
async def sms(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SmsProvider]:
    """A running gateway."""
    async with web_server(SmsProvider()) as provider:
        monkeypatch.setenv("HUNTER", provider.secret)
        yield provider


async def test_a_gateway_gets_what_it_wants(sms: SmsProvider) -> None:
    """The body as it is written, with the blanks filled in and secrets revealed; numbers stay numbers."""
    template = {"api_key": "env:HUNTER", "messages": [{"to": "{to}", "body": "{text}"}], "ref": "p-{id}", "ttl": 60}
    await attempt(sms.channel(json=template, headers={}, accepted=[200]), MESSAGE._replace(subject="{to}", text="{id}"))
    assert sms.bodies() == [
        {
            "api_key": "Bearer hunter2",
            "messages": [{"to": "+34600123456", "body": "{to}\n{id}"}],
            "ref": f"p-{MESSAGE.delivery_id}",
            "ttl": 60,
        }
    ]


@pytest.mark.parametrize("method", ["POST", "PUT", "GET"])
async def test_a_form_is_sent_as_the_method_wants_it(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the body or in the address."""
    monkeypatch.setenv("HUNTER", "Bearer hunter2")
    found: list[tuple[str, str]] = []

    class Gateway(SmsProvider):
        def read(self, request: web.Request, body: bytes) -> list[tuple[str, str, str]]:
            assert request.method == method
            found.extend(parse_qsl(body.decode() or request.query_string))
            return []

    async with web_server(Gateway()) as gateway:
        form = {"To": "{to}", "Body": "{text}", "From": "Puntual", "Validity": 60, "Flash": False}
        assert await attempt(gateway.channel(json=None, form=form, method=method)) == Accepted()
    expected = {"To": "+34600123456", "Body": text(MESSAGE), "From": "Puntual", "Validity": "60", "Flash": "false"}
    assert dict(found) == expected


async def test_a_message_is_short_enough_for_a_phone(sms: SmsProvider) -> None:
    """The beginning, and a sign that there is more."""
    await attempt(sms.channel(), MESSAGE._replace(text="x" * 1_000))
    (body,) = sms.bodies()
    said = body["message"]["text"]
    assert (len(said), said[-1]) == (LONGEST, "…")


def test_a_link_is_whole_on_a_phone() -> None:
    """What is said before it gives way, whatever there is of it; a link without room is left out."""
    link = f"https://puntual.example.com/a/{'t' * 120}"
    for items in (1, 150, 1_000):
        said = text(MESSAGE._replace(text=f"{'x' * items}\nSee to it: {link}\nWhy: {'y' * 200}", link=link))
        assert len(said) <= LONGEST
        assert said.startswith(MESSAGE.subject)
        assert said.endswith(f"\n{link}")
    short = MESSAGE._replace(text=f"See to it: {link}\nWhy: y", link=link)
    assert text(short) == f"{short.subject}\n{short.text}"
    endless = link + "t" * 200
    said = text(MESSAGE._replace(text=f"x\nSee to it: {endless}", link=endless))
    assert said == f"{MESSAGE.subject}\nx\nSee to it:"


async def test_one_number_that_fails_does_not_bother_the_others_twice(sms: SmsProvider) -> None:
    """Copies of a message have the same id, messages to different numbers have not."""
    numbers = ["+34600123456", "+34600123457"]
    sms.answers = [400, 201]
    assert await attempt(sms.channel(to=numbers)) == Accepted("1 of 2")
    assert {body["message"]["ref"] for body in sms.bodies()} == {f"puntual-{MESSAGE.delivery_id}-{n}" for n in (1, 2)}
    sms.answers = [400, 503]
    assert await attempt(sms.channel(to=numbers)) == TryAgain(Failure.SERVER_ERROR)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, Refused(Failure.CLIENT_ERROR)), (202, Accepted()), (418, Accepted()), (500, TryAgain(Failure.SERVER_ERROR))],
)
async def test_the_configuration_may_say_which_statuses_accept(sms: SmsProvider, status: int, outcome: Outcome) -> None:
    """Then no other does."""
    sms.answers = [status]
    assert await attempt(sms.channel(accepted=[202, 418])) == outcome


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


@pytest.mark.parametrize("host", ["localhost", "0x7f.1", "2130706433"])
async def test_no_mail_goes_into_a_network_that_was_not_allowed(
    mail_provider: MailProvider, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a name stands for when it is connected to; an address is refused when it is read."""
    elsewhere = ["10.0.0.0/8"]
    assert await attempt(mail_provider.channel(host=host, networks=elsewhere)) == Refused(Failure.BLOCKED_ADDRESS)
    with pytest.raises(DocumentError, match="host: is at an address that is not public; if that is meant"):
        mail_provider.channel(networks=elsewhere)
    assert "list its network under `networks`" in caplog.text
    assert not mail_provider.mails
    assert isinstance(await attempt(mail_provider.channel(host="localhost")), Accepted)


def test_a_password_is_not_sent_in_the_clear(mail_provider: MailProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so when the settings are read, and what to write."""
    monkeypatch.setenv("SMTP_PASSWORD", "hunter2")
    with pytest.raises(DocumentError, match="is none, so that anybody on the way reads the password; write starttls"):
        mail_provider.channel(username="puntual", password="env:SMTP_PASSWORD")
    mail_provider.channel(username="puntual", password="env:SMTP_PASSWORD", tls="starttls")


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
