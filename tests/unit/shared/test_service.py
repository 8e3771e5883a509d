"""Where a worker says its gRPC server is."""

import socket

import pytest

from services.shared.service import reachable


@pytest.mark.parametrize("host", ["127.0.0.1", "promises", "[::1]"])
def test_a_server_is_reached_where_it_listens(host: str) -> None:
    """At the port it was given."""
    assert reachable(host, 9111) == f"{host}:9111"


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"])  # noqa: S104 - not bound to
def test_a_server_that_listens_everywhere_is_reached_by_the_machines_name(host: str) -> None:
    """Every address of its own is an address of none to others."""
    assert reachable(host, 9111) == f"{socket.gethostname()}:9111"
