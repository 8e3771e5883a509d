"""Workers that Kafka does not answer: they say so, claim nothing, and go on when it is back."""

import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from puntual.promises.v1.promise_pb2 import PROMISE_STATE_BROKEN, PROMISE_STATE_OPEN
from puntual.promises.v1.promise_service_pb2 import GetPromiseRequest
from puntual.promises.v1.promise_service_pb2_grpc import PromiseServiceStub
from services.shared.topics import provision
from tests.brokers import Broker
from tests.conftest import started
from tests.integration.engine.test_worker import Site, publish_orders
from tests.integration.notifier.test_lookout import Outside, a_worker, config, outside
from tests.processes import ServiceProcess, wait_for

__all__ = ["config", "outside"]  # pytest finds fixtures by their names

SESSION = 8
LAST_ANSWER = "puntual_kafka_last_answer_timestamp_seconds"
LAG = 'puntual_consumer_lag_seconds{{topic="{}orders.v1"}}'


@pytest.fixture
def broker() -> Iterator[Broker]:
    """One for each test: it will be gone for a while."""
    with started(Broker()) as running:
        yield running


def says_kafka_is_away(worker: ServiceProcess) -> bool:
    status, text = worker.health("/readyz")
    return status == 503 and text.startswith("Kafka has not answered for ")


def asked(worker: ServiceProcess) -> grpc.StatusCode:
    """What becomes of a question about a promise."""
    with grpc.insecure_channel(worker.address) as channel:
        try:
            PromiseServiceStub(channel).GetPromise(GetPromiseRequest(promise_id="c-0/order_ready/o-0"), timeout=5)
        except grpc.RpcError as refused:
            code: grpc.StatusCode = refused.code()
            return code
        return grpc.StatusCode.OK


@pytest.mark.parametrize("how", ["frozen", "killed"])
def test_a_worker_without_kafka_says_so_and_goes_on_by_itself(
    broker: Broker, prefix: str, tmp_path: Path, how: str
) -> None:
    """Not ready, but alive; owner of nothing; how far reading is behind is not known, and is not said to be nothing."""
    site = Site(broker.bootstrap, prefix, tmp_path)
    with site.publisher, site.worker(instance="only", session_seconds=SESSION) as worker:
        publish_orders(site, 8, due_in=3600, keep=lambda _: False)
        wait_for(lambda: site.states() == {PROMISE_STATE_OPEN: 8}, 30, worker.output)
        time.sleep(2 * SESSION)  # an idle cluster answers, too
        assert (worker.health("/readyz"), asked(worker)) == ((200, "ok"), grpc.StatusCode.OK)
        assert worker.metrics()[LAG.format(prefix)] == 0
        gone_at = time.time()
        (broker.freeze if how == "frozen" else broker.kill)()
        wait_for(lambda: says_kafka_is_away(worker), SESSION + 10, worker.output)
        assert time.time() - gone_at > SESSION - 2
        time.sleep(2)
        assert worker.health("/livez") == (200, "ok")
        assert asked(worker) == grpc.StatusCode.UNAVAILABLE
        assert worker.output().count("promises ERROR Kafka has not answered for ") == 1
        metrics = worker.metrics()
        assert metrics["puntual_ready"] == 0
        assert abs(metrics[LAST_ANSWER] - gone_at) < SESSION / 2
        assert metrics[LAG.format(prefix)] > SESSION
        (broker.thaw if how == "frozen" else broker.start)()
        wait_for(lambda: worker.health("/readyz") == (200, "ok"), 60, worker.output)
        assert asked(worker) == grpc.StatusCode.OK
        wait_for(lambda: worker.metrics()["puntual_ready"] == 1, 5)
        assert worker.output().count("Kafka answers, and the clock is right: work goes on") == 1
        publish_orders(site, 4, due_in=1, keep=lambda _: False, name="new")
        wait_for(lambda: site.states() == {PROMISE_STATE_OPEN: 8, PROMISE_STATE_BROKEN: 4}, 30, worker.output)


def test_no_heartbeat_goes_out_while_kafka_is_away(broker: Broker, prefix: str, outside: Outside, config: Path) -> None:
    """The dead man's switch is for this: whoever waits outside for the heartbeat calls somebody."""
    provision(broker.bootstrap, prefix, 3)
    with a_worker(broker.bootstrap, prefix, config) as worker:
        wait_for(lambda: outside.beats > 2, 20, worker.output)
        broker.freeze()
        wait_for(lambda: says_kafka_is_away(worker), SESSION + 10, worker.output)
        time.sleep(2)
        beats = outside.beats
        time.sleep(6)
        assert outside.beats == beats
        assert "heartbeat withheld: Kafka has not answered" in worker.output()
        broker.thaw()
        wait_for(lambda: outside.beats > beats + 2, 60, worker.output)
