"""What is heard of Kafka through aiokafka's consumer, and what is made of it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, SyncGroupRequest

from services.shared.engine import contact as contact_module
from services.shared.engine.contact import Contact, NameTaken

SESSION = 30.0
HEARTBEAT: Any = HeartbeatRequest("g", 1, "m")
COMMIT: Any = OffsetCommitRequest("g", 1, "m", -1, [])
JOIN: Any = JoinGroupRequest("g", 1, 1, "m", "one", "consumer", [])
SYNC: Any = SyncGroupRequest("g", 1, "m", "one", [])
OK, UNKNOWN, REBALANCING, FENCED = 0, 25, 27, 82


class Kafka:
    """In the place of aiokafka's client and coordinator: answers, or not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, instance: str | None = "one") -> None:
        self.time = 1_000.0
        monkeypatch.setattr(contact_module, "monotonic", lambda: self.time)
        self.code = OK
        self.took = 0.0
        self.answers = True
        self.member_id = "m"
        self.asked_for_metadata = 0
        self.contact = Contact(SESSION, instance)
        self.taken: list[NameTaken] = []
        self.contact.name_taken = self.taken.append
        self._send_req: Any = self.group
        self.contact.follow(self, self)

    async def send(self, _node: int) -> str:
        if not self.answers:
            raise KafkaConnectionError
        return "answer"

    async def _metadata_update(self) -> bool:
        return self.answers

    async def force_metadata_update(self) -> bool:
        self.asked_for_metadata += 1
        return await self._metadata_update()

    async def group(self, request: object) -> object:
        self.time += self.took
        if isinstance(request, OffsetCommitRequest):
            return SimpleNamespace(topics=[("t", [(0, OK), (1, self.code)])])
        return SimpleNamespace(error_code=self.code)

    async def ask(self, request: object, code: int = OK) -> bool:
        """Whether the answer to a member's request is handed on."""
        self.code = code
        asking = asyncio.create_task(self._send_req(request))
        await asyncio.sleep(0.01)
        asking.cancel()
        return asking.done() and not asking.cancelled()


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Kafka:
    return Kafka(monkeypatch)


async def test_any_answer_is_a_sign_of_life_and_none_is_none(kafka: Kafka) -> None:
    """Fetches, metadata; what fails or is not answered tells nothing."""
    for ask in (lambda: kafka.send(1), kafka.force_metadata_update):
        kafka.time += SESSION - 1
        assert kafka.contact.away() is None
        await ask()
        assert kafka.contact.silence() == 0
    kafka.answers = False
    kafka.time += SESSION + 1
    await kafka.force_metadata_update()
    with pytest.raises(KafkaConnectionError):
        await kafka.send(1)
    assert (kafka.contact.away() or "").startswith("Kafka has not answered for 31 s, since 2")


async def test_kafka_is_asked_where_it_has_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not while it speaks anyway."""
    kafka = Kafka(monkeypatch)
    kafka.contact = Contact(0.06)
    kafka.contact.follow(kafka, kafka)
    keeping = asyncio.create_task(kafka.contact.keep(kafka))
    await asyncio.sleep(0.05)
    assert kafka.asked_for_metadata == 0
    kafka.time += 10
    await asyncio.sleep(0.05)
    assert kafka.asked_for_metadata == 1
    assert kafka.contact.away() is None
    keeping.cancel()


async def test_who_is_not_confirmed_as_a_member_owns_nothing_for_sure(kafka: Kafka) -> None:
    """Also where other brokers answer: its session is over."""
    assert await kafka.ask(HEARTBEAT)
    kafka.time += SESSION + 1
    await kafka.send(1)
    assert kafka.contact.away() is None
    assert "as a member of its group for 31 s" in (kafka.contact.lost() or "")
    assert await kafka.ask(HEARTBEAT, REBALANCING)
    assert kafka.contact.lost() is None


@pytest.mark.parametrize("request_", [HEARTBEAT, COMMIT])
async def test_a_member_forgotten_within_its_session_has_a_namesake(kafka: Kafka, request_: object) -> None:
    """It is told so, and asks nothing more: joining again would end the other one."""
    assert await kafka.ask(SYNC)
    kafka.time += SESSION - 1
    assert not await kafka.ask(request_, UNKNOWN)
    assert [str(error) for error in kafka.taken] == [
        "another worker is called one; give each a PUNTUAL_INSTANCE of its own"
    ]


async def test_kafkas_own_word_for_it_is_always_believed(kafka: Kafka) -> None:
    """Whatever it answers."""
    assert not await kafka.ask(JOIN, FENCED)
    assert len(kafka.taken) == 1


@pytest.mark.parametrize(
    "case", ["silent", "slow answer", "answer read late", "joining", "not a member", "never confirmed"]
)
async def test_other_reasons_for_being_forgotten_end_nobody(kafka: Kafka, case: str) -> None:
    """Frozen for longer than a session; a coordinator that lost what was not written down yet."""
    kafka.took = SESSION - 1 if case == "answer read late" else 0.0
    if case != "never confirmed":
        assert await kafka.ask(HEARTBEAT)
    match case:
        case "silent":
            kafka.time += SESSION
        case "slow answer":
            kafka.took = SESSION
        case "answer read late":
            kafka.took = 1.0
        case "joining":
            assert await kafka.ask(JOIN)
            assert await kafka.ask(SYNC, UNKNOWN)
        case "not a member":
            kafka.member_id = ""
    assert await kafka.ask(HEARTBEAT, UNKNOWN)
    assert kafka.taken == []


async def test_a_worker_without_a_name_has_no_namesake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka gave it an id of its own."""
    kafka = Kafka(monkeypatch, instance=None)
    assert await kafka.ask(HEARTBEAT)
    assert await kafka.ask(HEARTBEAT, UNKNOWN)
    assert kafka.taken == []
