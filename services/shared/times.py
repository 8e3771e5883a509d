"""Times in messages from outside: protobuf's own are of the years 0001 to 9999, its wire format takes any."""

from collections.abc import Iterator

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.shared.errors import PuntualError
from services.shared.instant import FIRST_SECOND, LAST_SECOND

_NANOS = 1_000_000_000


class NoSuchTime(PuntualError):
    """A message with a time that there is not."""

    def __init__(self, field: str) -> None:
        super().__init__(f"{field} is no time; it is one of the years 0001 to 9999, with nanos from 0 to 999999999.")


def check_times(message: Message) -> None:
    """Look at every time in a message. Raises NoSuchTime, which names the field."""
    if field := next(_absurd(message, ""), None):
        raise NoSuchTime(field)


def _absurd(message: Message, path: str) -> Iterator[str]:
    for field, value in message.ListFields():
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        for number, each in enumerate(value) if field.is_repeated else ((None, value),):
            name = f"{path}{field.name}" if number is None else f"{path}{field.name}[{number}]"
            if not isinstance(each, Timestamp):
                yield from _absurd(each, f"{name}.")
            elif not (FIRST_SECOND <= each.seconds <= LAST_SECOND and 0 <= each.nanos < _NANOS):
                yield name
