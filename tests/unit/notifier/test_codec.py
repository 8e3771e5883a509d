"""Bytes and back."""

from typing import Any

import pytest
from google.protobuf import json_format

from puntual.notifier.v1 import incident_pb2 as pb
from services.notifier.codec import decode, machine, pack, pack_dispatch, unpack
from services.notifier.incident import Incident, IncidentState, ItemSeen
from services.notifier.items import AT_ONCE, Rise, Severity, Standing, weight
from services.notifier.outbox import Accepted, DeliveryState, Failure, Refused, TryAgain
from services.notifier.response_codec import decode_response, fault_of, to_message
from services.notifier.responses import Action, Response
from services.notifier.routing import Address
from services.notifier.wording import Style, word
from services.shared.engine.machine import Step
from services.shared.engine.store import PartitionStore
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.instant import Instant
from tests.unit.notifier.builders import BOTH, DETAILS, INCIDENT, MAIL, an_item, at, broken, see, seen, settle

ADDRESS = Address(INCIDENT, "ops")
RISES = (Rise(at(60), Severity.WARNING), Rise(at(240), Severity.CRITICAL))


@pytest.mark.parametrize(
    "incident",
    [
        broken("A-1", "A-2"),
        see(broken(), seen(Standing.BROKEN, 2, subject="A-2")),
        settle(broken(plan=BOTH), Accepted("250 ok"), plan=BOTH),
        settle(see(broken(), seen(Standing.FULFILLED_LATE, 2)), Accepted("1", thread="1")),
        settle(see(broken(), seen(Standing.FULFILLED_LATE, 2)), Accepted()),
        settle(broken(), TryAgain(Failure.NETWORK)),
        settle(broken(), Refused(Failure.AUTH)),
        broken()._replace(deliveries=(broken().deliveries[0]._replace(may_repeat=True),)),
        see(None, ItemSeen("ops", an_item()._replace(rises=RISES))),
        Incident("ops", "ops"),
    ],
)
def test_an_incident_comes_back_as_it_was(incident: Incident) -> None:
    """Nothing that the next decision depends on is lost in the log, or in memory."""
    assert unpack(pack(incident)) == incident
    store = PartitionStore(machine(BOTH))
    store.keep(b"ops", store.encoded(incident))
    assert store.get(b"ops") == incident
    assert store.packed(b"ops") == pack(incident)


def test_a_message_not_tried_yet_has_no_time_for_it() -> None:
    """Whoever reads the record is not told of 1970."""
    message = pb.Incident.FromString(pack(broken()))
    assert not message.deliveries[0].HasField("next_attempt_at")
    assert unpack(pack(broken())).deliveries[0].next_attempt_at == AT_ONCE


def test_who_is_to_be_told_again_comes_back() -> None:
    """Nobody else's response names a target."""
    again = Response("r", Action.RESEND, "ana", at(1), target="pager", heard_at=at(2))
    value = to_message(INCIDENT, again).SerializeToString()
    assert decode_response(value, False, at(2)) == [(INCIDENT.encode(), again)]
    assert (
        fault_of(to_message(INCIDENT, again._replace(action=Action.ACKNOWLEDGE))) == "only a resend can have a target"
    )
    assert "at most" in fault_of(to_message(INCIDENT, again._replace(target="x" * 121)))


def test_a_dispatch_comes_back_as_it_was() -> None:
    """In protobuf and in JSON: the incident's key, the route and the item."""
    item = an_item()._replace(rises=RISES)
    value = pack_dispatch(ADDRESS, item)
    expected = [(INCIDENT.encode(), ItemSeen("ops", item))]
    assert decode(value, False) == expected
    assert decode(json_format.MessageToJson(pb.Dispatch.FromString(value)).encode(), True) == expected


def test_rises_are_reckoned_in_what_a_record_may_hold() -> None:
    """At no less than they take, to the microsecond."""
    rises = tuple(rise._replace(at=Instant(rise.at + 999_999)) for rise in RISES)
    plain, rising = an_item(), an_item()._replace(rises=rises)
    more = len(pack_dispatch(ADDRESS, rising)) - len(pack_dispatch(ADDRESS, plain))
    assert 0 < more <= weight(rising) - weight(plain)


@pytest.mark.parametrize("breaches", [None, 0, 3])
def test_how_often_a_customer_was_let_down_comes_back(breaches: int | None) -> None:
    """Not known is not the same as not repeated."""
    item = an_item(details=DETAILS._replace(breaches=breaches))
    assert decode(pack_dispatch(ADDRESS, item), False) == [(INCIDENT.encode(), ItemSeen("ops", item))]


def test_a_severity_of_a_newer_version_counts_as_critical() -> None:
    """It is told, and loudly rather than not at all."""
    ((_, fact),) = decode(pack_dispatch(ADDRESS, an_item()._replace(severity=99)), False)
    assert isinstance(fact, ItemSeen)
    assert fact.item.severity == Severity.CRITICAL


def test_a_record_of_a_newer_version_is_still_told() -> None:
    """After a step back to an older notifier: whatever number it does not know, the message is sent and worded."""
    record = pb.Incident.FromString(pack(broken()))
    unknown: Any = 99
    (delivery,), (item,) = record.deliveries, record.items
    record.state = delivery.kind = delivery.severity = delivery.state = unknown
    for one in (item, item.told[0], delivery.items[0]):
        one.standing = unknown
    item.severity = delivery.items[0].severity = unknown
    item.rises.add(severity=unknown)
    incidents = machine(MAIL)
    sending = incidents.due(unpack(record.SerializeToString()), at(5))
    assert sending is not None
    assert incidents.labels(sending) == ("ops", "open")
    assert sending.deliveries[0].state == DeliveryState.SENDING
    assert word(sending.deliveries[0], INCIDENT, Style("en")).subject == "Promise broken: getting order A-1 ready"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\xff\xff", DeadLetterReason.UNDECODABLE),
        (b"", DeadLetterReason.INVALID),
        (pack_dispatch(ADDRESS, an_item(details=None)._replace(record_id="no id")), DeadLetterReason.INVALID),
        (pack_dispatch(Address("", "ops"), an_item()), DeadLetterReason.INVALID),
        (pack_dispatch(ADDRESS, an_item()._replace(severity=0)), DeadLetterReason.INVALID),
        (pack_dispatch(ADDRESS, an_item()._replace(standing=0)), DeadLetterReason.INVALID),
        (pack_dispatch(ADDRESS, an_item()._replace(standing=99)), DeadLetterReason.INVALID),
    ],
    ids=["garbage", "empty", "no record id", "no incident", "no severity", "no standing", "an unknown standing"],
)
def test_an_unusable_dispatch_is_refused(value: bytes, reason: DeadLetterReason) -> None:
    """With the reason that dead letters are counted by."""
    with pytest.raises(Unusable) as refused:
        decode(value, False)
    assert refused.value.reason == reason
    assert "no id" not in refused.value.detail


@pytest.mark.parametrize(
    ("value", "is_json", "said"),
    [
        (b'{"incidentId": secret', True, "no JSON: Expecting value at column 16"),
        (b'{"item": {"standing": "secret"}}', True, "item.standing must be one of STANDING_"),
        (b"\x0a\x7fsecret", False, "the bytes are corrupt"),
    ],
)
def test_a_dispatch_that_is_none_is_refused_by_its_place_without_its_content(
    value: bytes, is_json: bool, said: str
) -> None:
    """A customer's data may stand in it, and the detail goes into a header."""
    with pytest.raises(Unusable) as refused:
        decode(value, is_json)
    assert refused.value.reason == DeadLetterReason.UNDECODABLE
    assert said in refused.value.detail
    assert "secret" not in refused.value.detail


def test_the_machine_announces_what_a_write_means() -> None:
    """Headers, and the labels that incidents are counted under; a route that is gone counts as "other"."""
    incidents = machine(MAIL, "p.")
    assert (list(incidents.inputs), incidents.records) == (["p.dispatch.v1", "p.responses.v1"], "p.incidents.v1")
    key, opened = INCIDENT.encode(), broken()
    opening = incidents.step(key, None, opened)
    assert (opening.name, opening.before, opening.after) == (b"opened", None, ("ops", "open"))
    assert incidents.step(key, opened, None) == Step(b"forgotten", key + b":forgotten", ("ops", "open"), None)
    assert incidents.labels(opened) == ("ops", "open")
    assert machine(BOTH._replace(routes={})).labels(opened) == ("other", "open")
    sending = incidents.due(opened, at(5))
    assert sending is not None
    assert opening.id != incidents.step(key, opened, sending).id
    assert (sending.state, sending.deliveries[0].state) == (IncidentState.OPEN, DeliveryState.SENDING)
