"""The operator's door: /metrics, /livez and /readyz over HTTP, on a thread of its own.

It is no part of the event loop, so that it can still answer, and say so, when the event loop hangs.
"""

from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from services.shared.errors import PuntualError

#: None: well. Otherwise what is wrong, in words. Called from another thread; must not raise.
Probe = Callable[[], str | None]


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
        timeout = 10

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
        return HttpServer(ThreadingHTTPServer((host, port), Handler))
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
