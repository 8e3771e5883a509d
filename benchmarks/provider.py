"""Plays the providers that the notifier's webhooks speak to; a process of its own.

    python -m benchmarks.provider JSON

The JSON object has the fields of `Task`. Each target has a path of its own: /silent/... takes a request and never
answers, everything else accepts at once. GET /figures?PATH says what arrived there: a JSON list of when (Unix seconds)
and of which subjects; GET /count?PATH how many messages. It ends when its standard input does.
"""

import asyncio
import json
import re
import sys
import time
from collections import defaultdict
from typing import ClassVar, NamedTuple

from services.shared.broker import HOST

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_SUBJECT = re.compile(rb'"subject_id":"([^"]+)"')
_TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"


class Task(NamedTuple):
    """Where it listens, on this machine."""

    port: int


class Provider(asyncio.Protocol):
    """One connection. As little work as may be: what is measured shares the machine with it."""

    #: Path → when a message arrived, and the message.
    arrived: ClassVar[defaultdict[str, list[tuple[float, bytes]]]] = defaultdict(list)

    def __init__(self) -> None:
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connects."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request as soon as it is whole."""
        self._unread += data
        while (end := self._unread.find(b"\r\n\r\n")) >= 0:
            head = self._unread[:end]
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._unread) < whole:
                return
            body, self._unread = self._unread[end + 4 : whole], self._unread[whole:]
            self._answer(head.split(b" ", 2)[1].decode(), body)

    def _answer(self, path: str, body: bytes) -> None:
        question, _, place = path.partition("?")
        if place:
            arrived = self.arrived[place]
            text = _figures(arrived) if question == "/figures" else str(len(arrived)).encode()
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(text) + text
            )
            return
        self.arrived[path].append((time.time(), body))
        if not path.startswith("/silent/"):
            self._transport.write(_TAKEN)


def _figures(arrived: list[tuple[float, bytes]]) -> bytes:
    return json.dumps([(at, [s.decode() for s in _SUBJECT.findall(body)]) for at, body in arrived]).encode()


async def serve(task: Task) -> None:
    """Until nobody needs it any more."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Provider, HOST, task.port)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(Task(**json.loads(sys.argv[1]))))
