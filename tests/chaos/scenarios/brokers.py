"""What happens to brokers: they are killed, fall silent, and hand over what they lead.

Where Kafka does not answer for long, workers may end by themselves; a supervisor starts them again.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing

from kafka import KafkaAdminClient

from tests.brokers import SESSION_SECONDS
from tests.chaos.rules import SECOND
from tests.chaos.run import Run

#: Seconds that something stays away at most, and then is left alone at most.
_AWAY, _REST = 6.0, 3.0
#: Seconds by which the clocks of such things may be off.
_MARGIN = 1.0
_PREFERRED = 0  # the kind of election that gives leadership back to the first replica


def broker_killed(run: Run) -> None:
    """The only broker is killed and comes back on its data, again and again: what it acknowledged is there."""
    for _ in _rounds(run, 2):
        _kill(run, run.broker.nodes)


def broker_silent(run: Run) -> None:
    """The only broker falls silent, mostly for longer than a session, and goes on as if it had not."""
    for _ in _rounds(run, 3):
        _silence(run, run.broker.nodes[0])


def node_lost(run: Run) -> None:
    """One of three nodes is killed; the others lead on, and it catches up when it returns."""
    for _ in _rounds(run, 2):
        lost_at, node = time.time(), run.random.choice(run.broker.nodes)
        back_at = lost_at + run.random.uniform(0.0, _AWAY + SESSION_SECONDS)
        run.broker.kill(node)
        run.fault("kill -9 a broker")
        # Whoever controls the others may have been it: then they take longer to see that it is gone.
        given_up = run.broker.is_given_up(node, back_at - time.time())
        given_up_at = time.time()
        time.sleep(max(0.0, back_at - given_up_at))
        run.broker.start(node)
        run.broker.wait_whole()
        _hide(run, lost_at, given_up_at if given_up else time.time())


def nodes_lost(run: Run) -> None:
    """Two or all of three nodes are killed, one soon after the other: writing stops, and goes on when they return."""
    for _ in _rounds(run, 1):
        lost_at = time.time()
        _kill(run, run.random.sample(run.broker.nodes, run.random.choice([2, 3])))
        _hide(run, lost_at, time.time())


def leaders_move(run: Run) -> None:
    """Each node is restarted in turn, as an upgrade does it, and what it led before is given back to it."""
    for number in _rounds(run, 3):
        node = run.broker.nodes[number % 3]
        run.broker.stop(node)
        run.broker.start(node)
        run.broker.wait_whole()
        with closing(KafkaAdminClient(bootstrap_servers=run.kafka.split(","))) as admin:
            admin.elect_leaders(_PREFERRED)
        run.fault("restart a node, elect leaders")


def slow_nodes(run: Run) -> None:
    """Nodes fall silent again and again, each time too shortly or just long enough to be given up by the others."""
    for _ in _rounds(run, 5):
        silent_at = time.time()
        _silence(run, run.random.choice(run.broker.nodes))
        _hide(run, silent_at, time.time())


def _rounds(run: Run, count: int) -> Iterator[int]:
    """Two workers and traffic, so many points of it, and the end. Much may be late, nothing may be wrong."""
    count *= 1 if run.scale == "short" else 3
    run.patience, run.settling = run.patience + 60.0, run.settling + 60.0
    run.team(2)
    run.supervise()
    traffic = run.publish(run.mix._replace(seconds=6.0 + 5.0 * count))
    for number in range(count):
        traffic.until((number + run.random.random()) / count)
        yield number
        time.sleep(run.random.uniform(0.0, _REST))
    time.sleep(_MARGIN)  # a broker that was silent may yet be given up
    run.broker.wait_whole()
    # kafka-python's consumer does not find its way back to a broker that was gone.
    run.tape.close()
    run.tape = run.new_tape()


def _kill(run: Run, nodes: Sequence[int]) -> None:
    """Kill nodes, one soon after the other, and start them together later."""
    for node in nodes:
        run.broker.kill(node)
        run.fault("kill -9 a broker")
        time.sleep(run.random.uniform(0.0, 1.0))
    time.sleep(run.random.uniform(0.0, _AWAY))
    run.broker.start(*nodes)
    run.broker.wait_whole()


def _silence(run: Run, node: int) -> None:
    run.broker.freeze(node)
    run.fault("freeze a broker")
    time.sleep(run.random.uniform(0.2, _AWAY))
    run.broker.thaw(node)


def _hide(run: Run, since: float, until: float) -> None:
    """Note when the last replicas may have kept back what the leaders had appended: from everybody."""
    run.hidden.append((int((since - _MARGIN) * SECOND), int((until + _MARGIN) * SECOND)))
