"""The server of the page: its routes and headers, what it publishes, and what it says where it cannot answer."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

import aiohttp
import grpc
import pytest

from puntual.notifier.v1 import response_pb2 as pb
from services.notifier.answering import HEADERS, Answering, listening, serve_answers
from services.notifier.codec import pack
from services.notifier.config import Config, parse
from services.notifier.incident import Incident, IncidentState
from services.notifier.items import NONE
from services.notifier.links import Claim, Links
from services.notifier.lookup import Lookup
from services.notifier.page import style_hash
from services.notifier.response_codec import decode_response
from services.notifier.responses import Action, Attention
from services.notifier.rpc import notifier_service
from services.shared.errors import PublishFailed, PuntualError
from services.shared.ingress import Ingress
from services.shared.instant import Instant
from services.shared.metrics import Registry
from services.shared.rpc import RpcServer
from tests.unit.notifier.builders import an_item, at
from tests.unit.notifier.desks import Office
from tests.unit.notifier.test_page import an_incident, said
from tests.views import MemoryView

HOST = "127.0.0.1"
DOCUMENT = """
targets: {ana: {channel: console, language: en, time_zone: Europe/Madrid}}
routes: [{name: ops, targets: [ana]}]
"""
SECRET = "s" * 32
INCIDENT = "ops/kind=order_ready"
NOW = at(72)


class Answer(NamedTuple):
    """What a browser gets."""

    status: int
    headers: Mapping[str, str]
    text: str


class Place:
    """The server over records in memory, and Kafka as a list."""

    def __init__(self) -> None:
        self.view = MemoryView()
        self.links = Links("", [SECRET], 0)
        self.now = NOW
        self.published: list[tuple[bytes, bytes]] = []
        self.trouble: Exception | None = None
        self.port = 0

    async def publish(self, key: bytes, value: bytes) -> None:
        """Take it, and have it heard at once."""
        if self.trouble:
            raise self.trouble
        self.published.append((key, value))
        ((_, response),) = decode_response(value, False, self.now)
        self.keep(an_incident()._replace(attention=Attention(at(0), None, (response,))))

    def keep(self, incident: Incident) -> None:
        """Write a record."""
        self.view.put(incident.incident_id, incident.incident_id, pack(incident))

    def path(self, *, opened_at: Instant = NONE, incident_id: str = INCIDENT) -> str:
        """Of a link for Ana that is good for a minute; of the run that began at noon unless another is named."""
        return f"/a/{self.links.token(Claim(incident_id, opened_at or at(0), 'ana', at(73)))}"

    async def ask(self, method: str, path: str, data: object = None, **headers: str) -> Answer:
        """Make a request."""
        url = f"http://{HOST}:{self.port}{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, data=data, headers=headers, allow_redirects=False) as response,
        ):
            return Answer(response.status, response.headers, await response.text())

    async def post(self, **form: str) -> Answer:
        """Answer, as the form does."""
        return await self.ask("POST", self.path(), {"nonce": "a-nonce", **form})

    def responses(self) -> list[pb.Response]:
        """What was published."""
        return [pb.Response.FromString(value) for _, value in self.published]


@asynccontextmanager
async def a_place(*patience: float) -> AsyncIterator[Place]:
    """With an incident that is open since noon."""
    place = Place()
    place.keep(an_incident())
    answering = Answering(Lookup(place.view), place.links, parse(DOCUMENT, "-"), place.publish, lambda: place.now)
    async with listening(answering.application(), (HOST, 0), *patience) as place.port:
        yield place


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    """One of them."""
    async with a_place() as here:
        yield here


async def test_to_look_changes_nothing(place: Place) -> None:
    """However often, and whether the whole page is asked for or only its head."""
    before = dict(place.view.records)
    for method in ("GET", "HEAD", "GET"):
        answer = await place.ask(method, place.path())
        assert answer.status == 200
        assert ("I am seeing to it" in answer.text) == (method == "GET")
    assert place.view.records == before
    assert not place.published


async def test_an_answer_is_published_once_and_shown(place: Place) -> None:
    """In the name of the link's target, for its run; the browser is sent to a page that it can load again."""
    answer = await place.post(answer="acknowledge")
    assert answer.status == 303
    (key, _), (response,) = place.published[0], place.responses()
    assert (key.decode(), response.incident_id) == (INCIDENT, INCIDENT)
    assert (Action(response.action), response.by, response.via) == (Action.ACKNOWLEDGE, "ana", "page")
    assert response.opened_at.ToMicroseconds() == at(0)
    assert response.responded_at.ToMicroseconds() == NOW
    assert answer.headers["Location"] == f"?answered={response.response_id}"
    page = await place.ask("GET", place.path() + answer.headers["Location"])
    assert page.status == 200
    assert "Thank you. You are seeing to it" in page.text


async def test_a_double_click_is_one_response(place: Place) -> None:
    """And another answer on the same page, or the same one on a page loaded anew, is another."""
    for form in (
        {"answer": "acknowledge"},
        {"answer": "acknowledge"},
        {"answer": "comment", "comment": "On my way"},
        {"answer": "comment", "comment": "There"},
        {"answer": "resolve"},
        {"answer": "acknowledge", "nonce": "another"},
    ):
        assert (await place.post(**form)).status == 303
    first, second, *others = [response.response_id for response in place.responses()]
    assert first == second
    assert len({first, *others}) == 5


async def test_every_page_has_a_nonce_of_its_own(place: Place) -> None:
    """Else the same answer a day later would count as a double click."""
    pages = [await place.ask("GET", place.path()) for _ in range(2)]
    nonces = {re.findall(r'name="nonce" value="([\w-]{16})"', page.text)[0] for page in pages}
    assert len(nonces) == 2


@pytest.mark.parametrize(
    ("answer", "action", "until"),
    [
        ("take_over", Action.TAKE_OVER, NONE),
        ("resolve", Action.RESOLVE, NONE),
        ("hour", Action.SNOOZE, at(72 + 60)),
        # Eight in Madrid the day after: 19 hours after noon in UTC.
        ("morning", Action.SNOOZE, at(19 * 60)),
    ],
)
async def test_other_answers(place: Place, answer: str, action: Action, until: Instant) -> None:
    """To put it off names the instant in the target's zone."""
    assert (await place.post(answer=answer, comment="Why not")).status == 303
    (response,) = place.responses()
    assert (Action(response.action), response.comment) == (action, "Why not")
    assert response.until.ToMicroseconds() == until


async def test_a_comment_is_as_long_as_browsers_count_it(place: Place) -> None:
    """They send two characters for each end of a line and count one."""
    text = "a\r\n" * 249 + "é!"
    assert (await place.post(answer="comment", comment=text)).status == 303
    assert len(place.responses()[0].comment) == 500


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"answer": "acknowledge"},
        {"answer": "dance", "nonce": "n"},
        {"answer": "comment", "nonce": "n"},
        {"answer": "comment", "nonce": "n", "comment": "x" * 501},
    ],
)
async def test_what_the_form_cannot_say_is_refused(place: Place, form: Mapping[str, str]) -> None:
    """Nothing is published."""
    answer = await place.ask("POST", place.path(), form)
    assert answer.status == 400
    assert not place.published


async def test_only_what_a_form_sends_is_taken(place: Place) -> None:
    """No files, no JSON, and not more of it than the longest comment takes."""
    with aiohttp.MultipartWriter("form-data") as parts:
        parts.append(b"acknowledge", {"content-disposition": 'form-data; name="answer"'})
    assert (await place.ask("POST", place.path(), parts)).status == 415
    assert (await place.ask("POST", place.path(), b"{}", **{"content-type": "application/json"})).status == 415
    assert (await place.post(answer="comment", comment="x" * 9000)).status == 413
    assert not place.published


def unlike(path: str) -> str:
    """Another token."""
    return path[:-1] + ("A" if path[-1] != "A" else "B")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_links_that_are_no_longer_good(place: Place, method: str) -> None:
    """Made up: nothing is there. Expired: how to answer otherwise. An earlier run, or forgotten: no button."""
    form = {"nonce": "n", "answer": "acknowledge"} if method == "POST" else None
    made_up = await place.ask(method, unlike(place.path()), form)
    assert (made_up.status, "There is nothing here" in made_up.text) == (404, True)
    earlier = await place.ask(method, place.path(opened_at=at(-60)), form)
    assert (earlier.status, "over" in earlier.text) == ({"GET": 410, "POST": 409}[method], True)
    forgotten = await place.ask(method, place.path(incident_id="ops"), form)
    assert forgotten.status == {"GET": 410, "POST": 409}[method]
    place.now = at(73)
    expired = await place.ask(method, place.path(), form)
    assert (expired.status, f"puntual incidents ack {INCIDENT}" in expired.text) == (410, True)
    assert not place.published
    for answer in (made_up, earlier, forgotten, expired):
        assert "<button" not in answer.text


async def test_what_is_over_takes_no_answer(place: Place) -> None:
    """It was open when the page was loaded."""
    place.keep(an_incident()._replace(state=IncidentState.RESOLVED))
    assert "It is over" in (await place.ask("GET", place.path())).text
    late = await place.post(answer="acknowledge")
    assert (late.status, "your answer was not taken" in late.text) == (409, True)
    assert not place.published


async def test_an_answer_that_kafka_does_not_take_is_not_thanked_for(place: Place) -> None:
    """It can be given again in a moment."""
    place.trouble = PublishFailed("Kafka cannot be reached")
    answer = await place.post(answer="acknowledge")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
    assert "Your answer was not taken" in answer.text
    assert "Kafka" not in answer.text


async def test_an_answer_that_is_not_heard_yet_is_said_to_come(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page waits for a moment, and no longer; one that comes in that time is shown."""
    monkeypatch.setattr("services.notifier.answering.HEARD", 0.3)
    response_id = f"page-{'0' * 32}"
    path = f"{place.path()}?answered={response_id}"
    assert "will show here in a moment" in (await place.ask("GET", path)).text
    asked = asyncio.create_task(place.ask("GET", path))
    await asyncio.sleep(0.1)
    heard = said(Action.COMMENT, comment="Hm")._replace(response_id=response_id)
    place.keep(an_incident()._replace(attention=Attention(at(0), None, (heard,))))
    assert "Your words stand below." in (await asked).text


@pytest.mark.parametrize(("answered", "most"), [("x", 1), (f"page-{'0' * 32}", 6)])
async def test_another_worker_is_asked_a_few_times_over_one_connection(
    place: Place, monkeypatch: pytest.MonkeyPatch, answered: str, most: int
) -> None:
    """Whatever the address claims was answered: what the page never gave out is not waited for."""
    async with an_owner(an_incident()) as address:
        place.view.owners[place.view.partition_of(INCIDENT)] = address
        made, asked = list[str](), list[str]()
        connect, find = grpc.aio.insecure_channel, Lookup.find

        def counted(owner: str) -> grpc.aio.Channel:
            made.append(owner)
            return connect(owner)

        async def noted(self: Lookup, incident_id: str) -> Incident | None:
            asked.append(incident_id)
            return await find(self, incident_id)

        monkeypatch.setattr("services.notifier.lookup.grpc.aio.insecure_channel", counted)
        monkeypatch.setattr(Lookup, "find", noted)
        assert (await place.ask("GET", f"{place.path()}?answered={answered}")).status == 200
        assert (await place.ask("GET", place.path())).status == 200
        assert len(asked) <= most + 1
        assert made == [address]


async def test_every_answer_has_the_same_headers(place: Place) -> None:
    """Pages, redirects and refusals: nothing may be kept, framed, sniffed, or told to where the reader goes next."""
    asked = {
        200: ("GET", place.path(), None),
        303: ("POST", place.path(), {"nonce": "n", "answer": "acknowledge"}),
        404: ("GET", "/", None),
        405: ("PUT", place.path(), None),
        500: ("POST", place.path(), {"nonce": "n", "answer": "resolve"}),
    }
    for status, (method, path, form) in asked.items():
        place.trouble = ValueError("secret C-7") if status == 500 else None
        answer = await place.ask(method, path, form)
        assert answer.status == status
        assert HEADERS.items() <= dict(answer.headers).items()
        assert "C-7" not in answer.text or status == 200
        assert "Traceback" not in answer.text
    policy = HEADERS["Content-Security-Policy"].split("; ")
    assert policy == [
        "default-src 'none'",
        f"style-src {style_hash()}",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
    assert (await place.ask("PUT", place.path())).headers["Allow"] == "GET,HEAD,POST"


async def test_a_failure_is_logged_by_its_place_only(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """What it says may hold a customer's data, and the path is as good as a key."""
    place.trouble = ValueError("secret C-7")
    await place.post(answer="acknowledge")
    assert "a page failed" in caplog.text
    for secret in ("C-7", place.path()[3:], "Traceback"):
        assert secret not in caplog.text


async def test_a_request_that_cannot_be_read_is_one_line_without_its_content(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """The path in it is as good as a key, and whoever finds the port can send such requests."""
    for line in (f"GET {place.path()} HTTP/1.1\nHost: x\r\n\r\n", f"GET {place.path()} FOO/9\r\n\r\n"):
        answers, asks = await asyncio.open_connection(HOST, place.port)
        asks.write(line.encode())
        assert b" 400 " in await asyncio.wait_for(answers.read(), 5)
        asks.close()
    assert place.path()[3:20] not in caplog.text
    assert [record.name for record in caplog.records] == ["bounded.services.notifier.answering"] * 2
    assert all(record.getMessage().startswith("a request could not be read: ") for record in caplog.records)
    assert "Traceback" not in caplog.text


async def test_whoever_says_nothing_is_hung_up_on() -> None:
    """A request that never ends holds no connection."""
    async with a_place(0.2, 0.2) as place:
        answers, asks = await asyncio.open_connection(HOST, place.port)
        asks.write(b"GET / HTTP/1.1\r\nHost: ")
        assert await asyncio.wait_for(answers.read(), 5) == b""
        asks.close()


async def _nowhere(_messages: object) -> None:
    """Nobody publishes anything by it."""


@asynccontextmanager
async def an_owner(*incidents: Incident) -> AsyncIterator[str]:
    """Another worker with these incidents; its gRPC address."""
    view = MemoryView()
    for incident in incidents:
        view.put(incident.incident_id, incident.incident_id, pack(incident))
    server = RpcServer(Registry(), notifier_service(view, _nowhere, "r", Office().desk), lambda: None)
    try:
        yield f"{HOST}:{await server.start(HOST, 0)}"
    finally:
        await server.stop(0)


async def test_every_worker_shows_every_incident(place: Place) -> None:
    """What another keeps is asked of that one."""
    here = place.view.partition_of(INCIDENT)
    async with an_owner(an_incident(an_item(subject="Z-9"))) as address:
        place.view.owners[here] = address
        page = await place.ask("GET", place.path())
        assert (page.status, "Z-9" in page.text) == (200, True)
        assert (await place.post(answer="acknowledge")).status == 303
    async with an_owner() as address:
        place.view.owners[here] = address
        assert (await place.ask("GET", place.path())).status == 410


async def test_while_partitions_move_the_reader_is_asked_to_wait(place: Place) -> None:
    """The owner is not known, is gone, or does not own it either: that passes."""
    here = place.view.partition_of(INCIDENT)
    async with an_owner() as address:
        gone = address
    for owner in (None, gone):
        place.view.owners[here] = owner
        for method in ("GET", "POST"):
            answer = await place.ask(method, place.path(), {"nonce": "n", "answer": "resolve"})
            assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
            assert "Try again in a moment" in answer.text
    assert not place.published


async def test_without_links_nothing_is_served() -> None:
    """And a port that is taken is said, with the setting that changes it."""

    async def never() -> None:
        raise AssertionError

    silent, view, ingress = parse(DOCUMENT, "-"), MemoryView(), Ingress(never, "test.")  # type: ignore[arg-type]
    config: Config = silent._replace(links=Links("", [SECRET], 0))
    async with serve_answers(silent, view, ingress, "test.", (HOST, 0)) as port:
        assert port == 0
    async with serve_answers(config, view, ingress, "test.", (HOST, 0)) as port:
        assert port
        with pytest.raises(PuntualError, match="Set PUNTUAL_ANSWERS_PORT to a free port"):
            async with serve_answers(config, view, ingress, "test.", (HOST, port)):
                pass


async def test_whoever_answers_by_one_of_his_targets_answers_in_his_own_name() -> None:
    """Where the target that the link was sent to is a person's."""
    place = Place()
    place.keep(an_incident())
    document = DOCUMENT.replace("targets: [ana]", "targets: [eve]")
    config = parse(f"{document}people: {{eve: {{contact: [{{targets: [ana]}}]}}}}", "-")
    answering = Answering(Lookup(place.view), place.links, config, place.publish, lambda: place.now)
    async with listening(answering.application(), (HOST, 0)) as place.port:
        assert "eve" in (await place.ask("GET", place.path())).text
        await place.post(answer="acknowledge")
    assert [response.by for response in place.responses()] == ["eve"]


@pytest.mark.parametrize(
    ("charset", "body", "status"),
    [
        ("utf-8", b"nonce=n&answer=hour", 303),
        ("nonsense", b"nonce=n&answer=hour", 415),
        ("utf-7", b"nonce=n&answer=hour&comment=+AGE", 415),
        ("idna", b"nonce=n&answer=hour", 415),
        ("utf-8", b"nonce=n&answer=hour&comment=\xff", 400),
        ("utf-8", b"nonce=n&answer=hour" + b"&a=" * 2_000, 400),
    ],
)
async def test_a_form_is_read_as_browsers_send_it_and_no_other_way(
    place: Place, charset: str, body: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever sends it does not choose by which codec it is read; and that it is odd is no trouble of ours."""
    kind = f"application/x-www-form-urlencoded; charset={charset}"
    answer = await place.ask("POST", place.path(), body, **{"Content-Type": kind})
    assert (answer.status, len(place.published)) == (status, status == 303)
    assert "a page failed" not in caplog.text
