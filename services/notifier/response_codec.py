"""Protobuf ⇄ what people say to an incident."""

from collections.abc import Callable, Mapping

from puntual.notifier.v1 import response_pb2 as pb
from services.notifier.responses import MAX_COMMENT, MAX_NAME, Action, Response
from services.shared.clock import from_timestamp, set_timestamp
from services.shared.errors import DeadLetterReason, Unusable
from services.shared.instant import Instant
from services.shared.parsing import parse_bytes, parse_json

_ACTIONS = frozenset(map(int, Action))

#: What is wrong with a response → whether that is so.
_FAULTS: Mapping[str, Callable[[pb.Response], bool]] = {
    "response_id, incident_id, by and action must be set": lambda response: (
        not (response.response_id and response.incident_id and response.by and response.action)
    ),
    "its action is unknown to this notifier; bring it up to date": lambda response: response.action not in _ACTIONS,
    f"response_id, by, via and target can have {MAX_NAME} characters at most": lambda response: (
        max(map(len, (response.response_id, response.by, response.via, response.target))) > MAX_NAME
    ),
    f"comment can have {MAX_COMMENT} characters at most": lambda response: len(response.comment) > MAX_COMMENT,
    "a snooze must say until when": lambda response: (
        response.action == pb.RESPONSE_ACTION_SNOOZE and not response.HasField("until")
    ),
    "a comment must say something": lambda response: (
        response.action == pb.RESPONSE_ACTION_COMMENT and not response.comment
    ),
    "only a resend can have a target": lambda response: (
        bool(response.target) and response.action != pb.RESPONSE_ACTION_RESEND
    ),
}


def decode_response(value: bytes, is_json: bool, heard_at: Instant) -> list[tuple[bytes, Response]]:
    """What a response says, and the incident it is meant for. Raises `Unusable`."""
    message = (parse_json if is_json else parse_bytes)(pb.Response, value)
    if fault := fault_of(message):
        raise Unusable(DeadLetterReason.INVALID, fault)
    responded_at = from_timestamp(message.responded_at)
    response = Response(
        response_id=message.response_id,
        action=message.action,
        by=message.by,
        responded_at=min(responded_at or heard_at, heard_at),
        opened_at=from_timestamp(message.opened_at),
        until=from_timestamp(message.until),
        comment=message.comment,
        via=message.via,
        heard_at=heard_at,
        target=message.target,
    )
    return [(message.incident_id.encode(), response)]


def fault_of(message: pb.Response) -> str:
    """What is wrong with a response; empty: nothing."""
    return next((fault for fault, is_so in _FAULTS.items() if is_so(message)), "")


def to_message(incident_id: str, response: Response) -> pb.Response:
    """A response as it is published."""
    message = pb.Response(
        response_id=response.response_id,
        incident_id=incident_id,
        action=pb.ResponseAction.ValueType(response.action),
        by=response.by,
        comment=response.comment,
        via=response.via,
        target=response.target,
    )
    for name in ("opened_at", "responded_at", "until"):
        if at := getattr(response, name):
            set_timestamp(getattr(message, name), at)
    return message
