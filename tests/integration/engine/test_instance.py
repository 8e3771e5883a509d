"""Workers by name: one that comes back after its end has what it had; two of one name do not take turns."""

import time

import pytest

from puntual.promises.v1.promise_pb2 import PROMISE_STATE_BROKEN, PROMISE_STATE_OPEN
from services.shared.engine.contact import NameTaken
from tests.integration.engine.test_worker import Site, publish_orders, real_site
from tests.processes import wait_for

__all__ = ["real_site"]  # pytest finds fixtures by their names

SESSION = 8
TAKEN = "another worker is called sla-1; give each a PUNTUAL_INSTANCE of its own"


@pytest.mark.parametrize("busy", [True, False])
def test_of_two_workers_of_one_name_the_earlier_ends_and_says_why(real_site: Site, *, busy: bool) -> None:
    """With an exit code of its own, and once: the later one works on undisturbed."""
    site = real_site
    with site.worker(instance="sla-1", session_seconds=SESSION) as first:
        publish_orders(site, 8, due_in=3600, keep=lambda _: False)
        wait_for(lambda: site.states() == {PROMISE_STATE_OPEN: 8}, 30, first.output)
        with site.worker(instance="sla-1", session_seconds=SESSION) as second:
            if busy:
                publish_orders(site, 500, due_in=3600, keep=lambda _: False, name="busy")
            assert first.wait(20) == NameTaken.EXIT_CODE
            assert TAKEN in first.output()
            assert "Traceback" not in first.output()
            time.sleep(SESSION)
            publish_orders(site, 4, due_in=1, keep=lambda _: False, name="new")
            wait_for(lambda: site.states()[PROMISE_STATE_BROKEN] == 4, 30, second.output)
            assert second.metrics()["puntual_rebalances_total"] <= 2
            assert set(site.transitions().values()) == {1}


def test_a_worker_that_was_frozen_past_its_session_comes_back_under_its_name(real_site: Site) -> None:
    """Kafka has forgotten it meanwhile, which looks the same; but nobody else is called so."""
    site = real_site
    with site.worker(instance="sla-1", session_seconds=SESSION) as worker:
        publish_orders(site, 8, due_in=3600, keep=lambda _: False)
        wait_for(lambda: site.states() == {PROMISE_STATE_OPEN: 8}, 30, worker.output)
        worker.freeze()
        time.sleep(2 * SESSION)
        worker.thaw()
        publish_orders(site, 4, due_in=1, keep=lambda _: False, name="new")
        wait_for(lambda: site.states()[PROMISE_STATE_BROKEN] == 4, 40, worker.output)
        assert worker.get("/readyz") == "ok\n"


def test_a_killed_worker_is_followed_at_once_by_another_of_its_name(real_site: Site) -> None:
    """Long before its session would be over."""
    site = real_site
    with site.worker(instance="sla-1", session_seconds=45) as first:
        publish_orders(site, 8, due_in=3600, keep=lambda _: False)
        wait_for(lambda: site.states() == {PROMISE_STATE_OPEN: 8}, 30, first.output)
        first.kill()
    started = time.monotonic()
    with site.worker(instance="sla-1", session_seconds=45) as second:
        assert time.monotonic() - started < 30
        time.sleep(10)
        assert second.get("/readyz") == "ok\n"
