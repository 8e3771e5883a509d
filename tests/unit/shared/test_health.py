"""Who may hold a connection to the operator's door, and for how long."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic, sleep
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry

from services.shared import health
from services.shared.health import HttpServer, serve_http


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpServer]:
    """It gives everybody half a second, and has room for eight."""
    monkeypatch.setattr(health, "LONGEST", 0.5)
    monkeypatch.setattr(health, "MOST", 8)
    server = serve_http("127.0.0.1", 0, CollectorRegistry(), lambda: None, lambda: None)
    yield server
    server.close()


def slow(server: HttpServer) -> socket.socket:
    """Somebody who begins a request and does not end it."""
    one = socket.create_connection(("127.0.0.1", server.port), timeout=5)
    one.sendall(b"GET /live")
    return one


def is_well(server: HttpServer) -> bool:
    with urlopen(f"http://127.0.0.1:{server.port}/livez", timeout=5) as answer:
        return bool(answer.status == 200)


def threads() -> int:
    return sum("process_request" in thread.name for thread in threading.enumerate())


def test_a_byte_now_and_then_holds_no_connection(server: HttpServer) -> None:
    """The time is that of the whole request, not of each byte."""
    with slow(server) as one:
        started = monotonic()
        with suppress(OSError):
            while monotonic() - started < 5:
                one.sendall(b"z")
                sleep(0.05)
        assert monotonic() - started < 3


def test_who_holds_the_most_threads_keeps_nobody_out(server: HttpServer, capsys: pytest.CaptureFixture[str]) -> None:
    """The oldest connections make room; the others are served, and nothing is said of it."""
    many = [slow(server) for _ in range(40)]
    try:
        assert is_well(server)
        assert threads() <= 8 + 1
    finally:
        for each in many:
            each.close()
    end = monotonic() + 5
    while threads() and monotonic() < end:
        sleep(0.05)
    assert not threads()
    assert is_well(server)
    assert not capsys.readouterr().err
