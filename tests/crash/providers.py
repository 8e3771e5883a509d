"""Providers that record every call: a webhook's receiver, a mail server, and an SMS gateway."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from email.message import EmailMessage, Message
from email.parser import BytesParser
from email.policy import default
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, NamedTuple

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope

from services.shared.broker import HOST, free_port
from tests.crash.points import Reply

#: Seconds for which an answer is held back at most.
_HOLD = 40.0


class Call(NamedTuple):
    """One message, as the provider got it whole."""

    #: `webhook-id`, the `Message-ID`, or where the gateway's configuration has {id}.
    message_id: str
    #: The message it answers; empty: none; None: that is not said.
    answers: str | None
    #: Without the mark.
    text: str
    reply: Reply
    #: Whether it says that it may have been said before.
    marked: bool = False


#: What such a message says.
MARK = " (may repeat)"


class Calls:
    """What a provider was called with, and what it answers."""

    def __init__(self) -> None:
        self.made: list[Call] = []
        #: By message, in the order of their first calls: what it answers to each call, the last for ever.
        self.replies: Mapping[int, Sequence[Reply]] = {}
        #: How many calls are answered only once this is set.
        self.free, self._held = Event(), 0
        #: What happens as soon as so many calls were made, before the answer.
        self.at: Mapping[int, Callable[[], object]] = {}

    def take(self, message_id: str, answers: str | None, text: str) -> Reply:
        """Note a call; what to answer, once that is free."""
        ids = self.ids()
        number = ids.index(message_id) + 1 if message_id in ids else len(ids) + 1
        replies = self.replies.get(number, (Reply.TAKEN,))
        before = sum(call.message_id == message_id for call in self.made)
        reply = replies[min(before, len(replies) - 1)]
        self.made.append(Call(message_id, answers, text.replace(MARK, ""), reply, MARK in text))
        self.at.get(len(self.made), bool)()
        if len(self.made) <= self._held:
            self.free.wait(_HOLD)
        return reply

    def hold_first(self) -> None:
        """Do not answer the first call until `free` is set."""
        self._held = 1

    def ids(self) -> Sequence[str]:
        """The messages, in the order of their first calls."""
        return list(dict.fromkeys(call.message_id for call in self.made))


def _webhook(headers: Message, body: dict[str, Any]) -> tuple[str, str | None, str]:
    data = body["data"]
    return headers["webhook-id"], "".join(data["answers"]), f"{data['subject']}\n{data['text']}"


def _sms(_headers: Message, body: dict[str, Any]) -> tuple[str, str | None, str]:
    return body["id"], None, body["text"]


@contextmanager
def http(
    calls: Calls, read: Callable[[Message, dict[str, Any]], tuple[str, str | None, str]], settings: str
) -> Iterator[str]:
    """Receives JSON: what `read` finds in it; the target's settings. `settings`: those beside where it is."""
    statuses = {Reply.TAKEN: 204, Reply.LATER: 503, Reply.NEVER: 404}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            reply = calls.take(*read(self.headers, body))
            with suppress(OSError):  # whoever asked may be dead
                self.send_response(statuses[reply])
                self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://{HOST}:{server.server_port}/hook"
        yield f'{{url: "{place}", networks: [127.0.0.0/8], timeout: 40s{settings}}}'
        server.shutdown()


@contextmanager
def email(calls: Calls) -> Iterator[str]:
    """Receives mails; the target's settings."""
    answers = {Reply.TAKEN: "250 ok", Reply.LATER: "451 later", Reply.NEVER: "550 never"}

    class Mailbox:
        async def handle_DATA(self, _server: object, _session: object, envelope: Envelope) -> str:  # noqa: N802
            assert isinstance(envelope.content, bytes)
            mail = BytesParser(_class=EmailMessage, policy=default).parsebytes(envelope.content)
            earlier = str(mail["In-Reply-To"] or "")
            text = f"{mail['Subject']}\n{mail.get_content()}"
            return answers[await asyncio.to_thread(calls.take, str(mail["Message-ID"]), earlier, text)]

    server = Controller(Mailbox(), hostname=HOST, port=free_port())
    server.start()
    try:
        address = f"host: {HOST}, port: {server.port}, tls: none, networks: [127.0.0.0/8], timeout: 40s"
        yield f"{{{address}, from: puntual@example.com, to: [desk@example.com]}}"
    finally:
        server.stop()


_SMS = """, to: ["+34600123456"], json: {id: "{id}", text: "{text}", to: "{to}"}"""
PROVIDERS: Mapping[str, Callable[[Calls], AbstractContextManager[str]]] = {
    "webhook": partial(http, read=_webhook, settings=""),
    "email": email,
    "sms": partial(http, read=_sms, settings=_SMS),
}
