"""The operator's door: /metrics, /livez and /readyz over HTTP, on a thread of its own.

It is no part of the event loop, so that it can still answer, and say so, when the event loop hangs.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from time import monotonic
from typing import TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from services.shared.errors import PuntualError

#: None: well. Otherwise what is wrong, in words. Called from another thread; must not raise.
Probe = Callable[[], str | None]

#: Connections at once, and seconds that one may last.
MOST, LONGEST = 32, 10.0
_Request: TypeAlias = socket.socket | tuple[bytes, socket.socket]


class _Bounded(ThreadingHTTPServer):
    """A thread for each connection, but no more than so many, and none for longer than it takes to answer.

    Who comes when there is no room takes the place of who has been there longest: a scrape takes milliseconds.
    """

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        #: When it was accepted, by the monotonic clock: the oldest first.
        self._open: dict[socket.socket, float] = {}
        self._lock = Lock()

    def process_request(self, request: "_Request", client_address: object) -> None:
        if isinstance(request, socket.socket):
            with self._lock:
                if len(self._open) >= MOST:
                    self._hang_up(next(iter(self._open)))
                self._open[request] = monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: "_Request") -> None:
        if isinstance(request, socket.socket):
            with self._lock:
                self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Called every moment: hang up on whoever takes too long."""
        with self._lock:
            late = [request for request, since in self._open.items() if monotonic() - since > LONGEST]
            for request in late:
                self._hang_up(request)

    def handle_error(self, request: "_Request", client_address: object) -> None:
        """Whoever hung up, or was hung up on, is not worth a line."""

    def _hang_up(self, request: socket.socket) -> None:
        """Its thread ends by that; the socket is that thread's to close."""
        self._open.pop(request, None)
        with suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)


class HttpServer:
    """A running server. `port` is the one it listens on."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self._server = server
        self._thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="health", daemon=True)
        self._thread.start()
        self.port: int = server.server_address[1]

    def close(self) -> None:
        """Stop answering and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve_http(host: str, port: int, registry: CollectorRegistry, alive: Probe, ready: Probe) -> HttpServer:
    """Serve metrics and health on `host`:`port` (0: any free one). Raises PuntualError where the port is taken."""

    class Handler(BaseHTTPRequestHandler):
        timeout = LONGEST

        def do_GET(self) -> None:
            answer = answers.get(self.path.partition("?")[0])
            status, kind, body = answer(self) if answer else _text(HTTPStatus.NOT_FOUND, f"Try {', '.join(answers)}.")
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has in the library
            """Scrapes are not worth a line each."""

    answers: dict[str, Callable[[Handler], _Answer]] = {
        "/metrics": lambda handler: _metrics(registry, handler.headers.get("Accept", "")),
        "/livez": lambda _: _health(alive()),
        "/readyz": lambda _: _health(ready()),
    }
    try:
        return HttpServer(_Bounded((host, port), Handler))
    except OSError as error:
        raise PuntualError(
            f"Cannot serve metrics on {host}:{port}: {error.strerror}. Set PUNTUAL_METRICS_PORT to a free port."
        ) from error


_Answer = tuple[HTTPStatus, str, bytes]


def _metrics(registry: CollectorRegistry, accept: str) -> _Answer:
    encode, content_type = choose_encoder(accept)
    return HTTPStatus.OK, content_type, encode(registry)


def _health(trouble: str | None) -> _Answer:
    return _text(HTTPStatus.SERVICE_UNAVAILABLE, trouble) if trouble else _text(HTTPStatus.OK, "ok")


def _text(status: HTTPStatus, text: str) -> _Answer:
    return status, "text/plain; charset=utf-8", f"{text}\n".encode()
