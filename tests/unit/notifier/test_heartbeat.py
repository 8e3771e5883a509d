"""The heartbeat: sent as long as all is well, withheld when it is not; over real HTTP, and into no private network."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from services.notifier import signs
from services.notifier.auditor import Auditor
from services.notifier.codec import pack, unpack
from services.notifier.domain import due
from services.notifier.heartbeat import KEY, Heartbeat, beat
from services.notifier.outbox import Accepted, Failure, Outcome, Refused, TryAgain
from services.shared.documents import DocumentError
from services.shared.fields import Fields, Problems
from services.shared.instant import SECOND
from tests.unit.notifier.builders import INCIDENT, MAIL, MINUTE, at, broken, settle
from tests.unit.notifier.health import Clock, HealthTally, at_work, until
from tests.views import MemoryView


class Outside(Heartbeat):
    """Counts what it hears instead of telling anybody."""

    def __init__(self, *ends: Outcome) -> None:
        self.every = MINUTE
        self.ends = list(ends)
        self.heard = 0

    async def send(self) -> Outcome:
        """Remember it."""
        self.heard += 1
        return self.ends.pop(0) if self.ends else Accepted()


class Scene:
    """A heartbeat of a worker whose state a test decides."""

    def __init__(self, *ends: Outcome) -> None:
        self.view, self.meter, self.clock = MemoryView(unpack), HealthTally(), Clock(10)
        self.outside = Outside(*ends)
        self.reason: str | None = None

    async def run(self) -> None:
        """As the service does it."""
        await beat(self.outside, self.view, lambda: self.reason, self.meter, self.clock)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signs, "LOOK", 0.01)


async def test_it_beats_once_a_minute() -> None:
    """And says when it last did, and by when it should have done so again."""
    scene = Scene()
    async with at_work(scene.run()):
        for minutes in (10, 11, 12):
            scene.clock.minutes = minutes
            await until(lambda minutes=minutes: scene.outside.heard == minutes - 9)  # type: ignore[misc]
            await asyncio.sleep(0.03)
        assert scene.outside.heard == 3
    assert scene.meter.beats == (at(12) / SECOND, at(14) / SECOND)


async def test_it_is_withheld_while_something_is_wrong_and_goes_on_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """What is wrong is said once."""
    caplog.set_level("INFO")
    scene = Scene()
    scene.reason = "Overdue incidents: 1."
    async with at_work(scene.run()):
        await until(lambda: scene.meter.beats == (0, at(12) / SECOND))
        await asyncio.sleep(0.05)
        assert scene.outside.heard == 0
        scene.reason = None
        await until(lambda: scene.outside.heard == 1)
    assert caplog.messages == ["heartbeat withheld: Overdue incidents: 1.", "heartbeat goes on"]


async def test_it_stops_when_a_delivery_is_stuck_and_goes_on_when_it_is_not() -> None:
    """As the service puts it together: the auditor looks, the heartbeat asks it."""
    scene = Scene()
    auditor = Auditor(scene.view, lambda _partition, _keys: None, MAIL, scene.meter, scene.clock)
    sending = due(broken(), at(10), MAIL)
    assert sending is not None
    scene.view.put(INCIDENT, INCIDENT, pack(sending))

    async with at_work(beat(scene.outside, scene.view, auditor.trouble, scene.meter, scene.clock)):
        await asyncio.sleep(0.03)
        assert scene.outside.heard == 0
        await auditor.look()
        await until(lambda: scene.outside.heard == 1)
        scene.clock.minutes = 12.5
        await auditor.look()
        for minutes in (13, 14, 15):
            scene.clock.minutes = minutes
            await asyncio.sleep(0.03)
        assert scene.outside.heard <= 2  # the second, if at all, in the moment before the look
        heard = scene.outside.heard
        scene.view.put(INCIDENT, INCIDENT, pack(settle(sending, Accepted())))
        await auditor.look()
        await until(lambda: scene.outside.heard == heard + 1)


async def test_only_the_owner_of_its_partition_sends_it() -> None:
    """Of the others none is expected."""
    scene = Scene()
    scene.view.owners = {scene.view.partition_of(KEY): "elsewhere"}
    async with at_work(scene.run()):
        await until(lambda: scene.meter.beats == (0, 0))
        await asyncio.sleep(0.05)
        assert scene.outside.heard == 0
        scene.view.owners = {}
        await until(lambda: scene.outside.heard == 1)


async def test_one_that_is_not_accepted_does_not_count(caplog: pytest.LogCaptureFixture) -> None:
    """It is sent again in the next interval, and said why."""
    scene = Scene(TryAgain(Failure.NETWORK), Refused(Failure.CLIENT_ERROR))
    async with at_work(scene.run()):
        for minutes in (10, 11, 12):
            scene.clock.minutes = minutes
            await until(lambda minutes=minutes: scene.outside.heard == minutes - 9)  # type: ignore[misc]
            expected = (at(12) / SECOND, at(14) / SECOND) if minutes == 12 else (0, at(12) / SECOND)
            await until(lambda expected=expected: scene.meter.beats == expected)  # type: ignore[misc]
    assert [vars(record)["failure"] for record in caplog.records] == ["network", "client_error"]


# --- the way there


@pytest.fixture
async def outside(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[tuple[str, str]]]:
    """A service outside, and the requests it got; the environment says where it is."""
    requests: list[tuple[str, str]] = []

    async def hear(request: web.Request) -> web.Response:
        requests.append((request.method, request.path))
        return web.Response(text="OK")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", hear)
    runner = web.AppRunner(app, shutdown_timeout=0, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("HEARTBEAT_URL", f"http://127.0.0.1:{runner.addresses[0][1]}/ping/hunter2")
    yield requests
    await runner.cleanup()


def read(**settings: object) -> Heartbeat:
    """As the configuration has it. Raises DocumentError."""
    problems = Problems("notifier.yaml")
    heartbeat = Heartbeat.read(Fields({"url": "env:HEARTBEAT_URL", **settings}, "heartbeat", problems))
    problems.check()
    return heartbeat


async def test_the_service_outside_hears_of_it(outside: list[tuple[str, str]]) -> None:
    """By GET, at the secret address."""
    heartbeat = read(networks=["127.0.0.0/8"], every="30s")
    assert heartbeat.every == 30 * SECOND
    assert await heartbeat.send() == Accepted()
    await heartbeat.close()
    assert outside == [("GET", "/ping/hunter2")]


@pytest.mark.usefixtures("outside")
def test_an_address_that_is_not_public_must_be_allowed() -> None:
    """The complaint does not repeat what is secret."""
    with pytest.raises(DocumentError, match=r"heartbeat\.url: is at an address that is not public") as problem:
        read()
    assert "hunter2" not in str(problem.value)


async def test_a_name_that_leads_into_a_private_network_is_not_followed(
    outside: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is judged when it is connected to."""
    monkeypatch.setenv("HEARTBEAT_URL", "http://localhost:1/ping")
    heartbeat = read()
    assert await heartbeat.send() == Refused(Failure.BLOCKED_ADDRESS)
    monkeypatch.delenv("HEARTBEAT_URL")
    assert await heartbeat.send() == TryAgain(Failure.AUTH)
    await heartbeat.close()
    assert not outside


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": None}, "heartbeat.url: is missing"),
        ({"url": "env:NOWHERE"}, "heartbeat.url: is empty; set NOWHERE"),
        ({"every": "0s"}, "heartbeat.every: '0s' is no time at all"),
        ({"often": True}, "heartbeat.often: is no field; write one of every, networks, timeout, url"),
    ],
)
def test_what_is_wrong_with_it_is_told(settings: dict[str, object], said: str) -> None:
    """Place, value and remedy."""
    with pytest.raises(DocumentError) as problem:
        read(networks=["127.0.0.0/8"], **settings)
    assert said in str(problem.value)
