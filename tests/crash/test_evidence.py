"""What is judged: no fault is found where there is none, and every fault where there is one."""

from collections.abc import Mapping

import pytest

from puntual.notifier.v1 import incident_pb2 as pb
from tests.crash.evidence import Evidence, faults
from tests.crash.points import POINTS, Reply
from tests.crash.providers import Call

BREACH = Call("b", "", "late", Reply.TAKEN)
RESOLUTION = Call("r", "b", "done", Reply.TAKEN)


def incident(state: pb.IncidentState.ValueType, delivery: pb.DeliveryState.ValueType) -> pb.Incident:
    """A record with one delivery."""
    return pb.Incident(state=state, deliveries=[pb.Delivery(state=delivery)])


GOOD = Evidence((-9,), (BREACH, RESOLUTION), 0, incident(pb.INCIDENT_STATE_RESOLVED, pb.DELIVERY_STATE_ACCEPTED), 0)


def of(*calls: Call) -> Evidence:
    """The same with other calls."""
    return GOOD._replace(calls=calls)


#: Nobody there knows a copy by its id, or what a message answers.
BY_SMS = of(BREACH, BREACH._replace(marked=True), RESOLUTION._replace(answers=None))._replace(copies_known=False)
REFUSED = GOOD._replace(calls=(BREACH._replace(reply=Reply.NEVER), RESOLUTION), copies=1)


@pytest.mark.parametrize(
    ("point", "evidence"),
    [
        ("attempt_heard", GOOD),
        ("answer_heard", of(BREACH, BREACH, RESOLUTION)),
        ("delay_heard", of(BREACH._replace(reply=Reply.LATER), BREACH, RESOLUTION)),
        ("refusal_written", REFUSED),
        ("answer_heard", BY_SMS),
        ("copy_said", REFUSED._replace(copies=2, marked_copies=1)),
    ],
    ids=["known", "unknown", "later", "refused", "marked", "said twice"],
)
def test_what_is_as_the_table_has_it_is_no_fault(point: str, evidence: Evidence) -> None:
    """And nothing of it is lost."""
    assert list(faults(evidence, POINTS[point], 1)) == []
    assert evidence.lost() == 0


#: By what is said of it.
FAULTS: Mapping[str, Evidence] = {
    "did not die at the point: []": GOOD._replace(deaths=()),
    "did not die at the point: [0]": GOOD._replace(deaths=(0,)),
    "did not die at the point: [-9, None]": GOOD._replace(deaths=(-9, None)),
    "in this order": of(RESOLUTION, BREACH),
    "not a breach and its resolution, in this order": of(BREACH, RESOLUTION._replace(answers="x")),
    "1 messages came": of(BREACH),
    "3 messages came": of(BREACH, BREACH._replace(message_id="c"), RESOLUTION),
    "message 1 was sent 2 times": of(BREACH, BREACH, RESOLUTION),
    "message 2 was sent 2 times": of(BREACH, RESOLUTION, RESOLUTION),
    "message 1 was not the same": of(BREACH, BREACH._replace(text="later"), RESOLUTION),
    "1 messages were not taken": of(BREACH, RESOLUTION._replace(reply=Reply.LATER)),
    "the console said 1 times": REFUSED,
    "message 1 did not say that it may repeat": of(BREACH, BREACH, RESOLUTION)._replace(copies_known=False),
    "message 1 said that it may repeat": of(BREACH, BREACH._replace(marked=True), RESOLUTION),
    "the console did not say that it may": REFUSED._replace(copies=2),
    "no incident": GOOD._replace(incident=None),
    "not settled: state: INCIDENT_STATE_OPEN": GOOD._replace(
        incident=incident(pb.INCIDENT_STATE_OPEN, pb.DELIVERY_STATE_ACCEPTED)
    ),
    "not settled": GOOD._replace(incident=incident(pb.INCIDENT_STATE_RESOLVED, pb.DELIVERY_STATE_SENDING)),
    "1 dead letters": GOOD._replace(dead_letters=1),
}


@pytest.mark.parametrize("found", FAULTS)
def test_every_fault_is_found(found: str) -> None:
    """Where a worker died at a point where everything was known."""
    assert any(found in fault for fault in faults(FAULTS[found], POINTS["attempt_heard"], 1))


@pytest.mark.parametrize(
    ("evidence", "lost", "repeats"),
    [
        (of(BREACH), 1, 0),
        (of(BREACH, BREACH, RESOLUTION), 0, 1),
        (REFUSED._replace(copies=0), 1, 0),
        (REFUSED._replace(copies=2), 0, 1),
        (of(BREACH._replace(reply=Reply.LATER), BREACH, RESOLUTION), 0, 0),
    ],
    ids=["one", "twice", "refused", "said twice", "later"],
)
def test_what_is_lost_and_what_is_repeated_is_counted(evidence: Evidence, lost: int, repeats: int) -> None:
    """A call that was not taken is neither; what only the console said is not lost."""
    assert (evidence.lost(), evidence.repeats()) == (lost, repeats)


def test_the_table_allows_one_repeat_at_most() -> None:
    """Whatever is unknown."""
    assert {point.calls for point in POINTS.values()} == {1, 2}
    assert {point.copies for point in POINTS.values()} == {0, 1, 2}
