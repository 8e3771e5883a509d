"""What happens to brokers: they are killed, fall silent, are slow, and hand over what they lead.

Workers may end by themselves where Kafka does not answer; a supervisor starts them again.
"""

import time
from collections.abc import Sequence
from contextlib import closing

from kafka import KafkaAdminClient

from tests.chaos.publication import Publication
from tests.chaos.run import Run

#: Seconds of traffic, and how long a broker stays away at most.
_SECONDS, _AWAY = 15.0, 6.0
_PREFERRED = 0  # the kind of election that gives leadership back to the first replica


def broker_killed(run: Run) -> None:
    """The only broker is killed twice and comes back on its data: what it acknowledged is there."""
    traffic = _begin(run)
    for number in range(2):
        traffic.until((number + run.random.uniform(0.2, 0.8)) / 2)
        run.broker.kill()
        run.fault("kill -9 the broker")
        time.sleep(run.random.uniform(0.0, _AWAY))
        run.broker.start()
    _end(run)


def broker_silent(run: Run) -> None:
    """The only broker falls silent again and again, mostly for longer than a session, and goes on as if it had not."""
    traffic = _begin(run)
    for number in range(3):
        traffic.until((number + run.random.random()) / 3)
        run.broker.freeze()
        run.fault("freeze the broker")
        time.sleep(run.random.uniform(1.0, _AWAY))
        run.broker.thaw()
    _end(run)


def node_lost(run: Run) -> None:
    """One of three nodes is killed; the others lead on, and it catches up when it returns."""
    traffic = _begin(run)
    for number in range(2):
        traffic.until((number + run.random.uniform(0.2, 0.8)) / 2)
        _lose(run, run.random.sample(run.broker.nodes, 1))
    _end(run)


def two_nodes_lost(run: Run) -> None:
    """Two of three nodes are killed, one soon after the other: writing stops, and goes on when they return."""
    traffic = _begin(run)
    traffic.until(run.random.uniform(0.2, 0.6))
    _lose(run, run.random.sample(run.broker.nodes, 2))
    _end(run)


def all_nodes_lost(run: Run) -> None:
    """All three nodes are killed and return."""
    traffic = _begin(run)
    traffic.until(run.random.uniform(0.2, 0.6))
    _lose(run, run.random.sample(run.broker.nodes, 3))
    _end(run)


def leaders_move(run: Run) -> None:
    """Each node is restarted in turn, as an upgrade does it, and what it led before is given back to it."""
    traffic = _begin(run)
    for number, node in enumerate(run.random.sample(run.broker.nodes, 3)):
        traffic.until((number + run.random.random()) / 3)
        run.broker.stop(node)
        run.broker.start(node)
        run.broker.wait_whole()
        with closing(KafkaAdminClient(bootstrap_servers=run.kafka.split(","))) as admin:
            admin.elect_leaders(_PREFERRED)
        run.fault("restart a node, elect leaders")
    _end(run)


def slow_nodes(run: Run) -> None:
    """Nodes fall silent again and again, each time for too short or just long enough to be given up by the others."""
    traffic = _begin(run)
    for number in range(5):
        traffic.until((number + run.random.random()) / 5)
        node = run.random.choice(run.broker.nodes)
        run.broker.freeze(node)
        run.fault("freeze a node")
        time.sleep(run.random.uniform(0.2, _AWAY))
        run.broker.thaw(node)
    _end(run)


def _begin(run: Run) -> Publication:
    """Two workers and traffic; much may be late, nothing may be wrong."""
    run.patience, run.settling = 120.0, 150.0
    run.team(2)
    run.supervise()
    return run.publish(run.mix._replace(seconds=_SECONDS))


def _lose(run: Run, nodes: Sequence[int]) -> None:
    """Kill nodes, one soon after the other, and start them together later."""
    for node in nodes:
        run.broker.kill(node)
        run.fault("kill -9 a node")
        time.sleep(run.random.uniform(0.0, 1.0))
    time.sleep(run.random.uniform(0.0, _AWAY))
    run.broker.start(*nodes)
    run.broker.wait_whole()


def _end(run: Run) -> None:
    """Wait until all is well, and read with a new consumer: kafka-python's does not find its way back."""
    run.broker.wait_whole()
    run.tape.close()
    run.tape = run.new_tape()
