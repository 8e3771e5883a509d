"""All scenarios, by the name they are called by, and of which services each is played."""

from collections.abc import Mapping

from tests.brokers import Broker, Cluster
from tests.chaos.clocks.subject import CLOCKS
from tests.chaos.promises import PROMISES
from tests.chaos.scenarios import brokers, input as publishers, sources, standards, storage, storm, workers
from tests.chaos.subject import Subject
from tests.chaos.theatre import Play, Scenario

SUBJECTS: Mapping[str, Subject] = {subject.service: subject for subject in (PROMISES, CLOCKS)}
SCENARIOS: Mapping[str, Scenario] = {
    "join_leave": Scenario(workers.join_leave),
    "kill_one": Scenario(workers.kill_one),
    "kill_all": Scenario(workers.kill_all),
    "scale": Scenario(workers.scale),
    "rolling": Scenario(workers.rolling),
    "pause": Scenario(workers.pause),
    "freeze": Scenario(workers.freeze),
    "freeze_joining": Scenario(workers.freeze_joining),
    "freeze_unfenced": Scenario(workers.freeze_unfenced, must_fail=True),
    "broker_killed": Scenario(brokers.broker_killed, Broker),
    "broker_silent": Scenario(brokers.broker_silent, Broker),
    "node_lost": Scenario(brokers.node_lost, Cluster),
    "nodes_lost": Scenario(brokers.nodes_lost, Cluster),
    "leaders_move": Scenario(brokers.leaders_move, Cluster),
    "slow_nodes": Scenario(brokers.slow_nodes, Cluster),
    "duplicates": Scenario(publishers.duplicates),
    "reordering": Scenario(publishers.reordering),
    "poison": Scenario(publishers.poison),
    "misplaced": Scenario(publishers.misplaced),
    "skewed_clocks": Scenario(publishers.skewed_clocks),
    "transactions": Scenario(publishers.transactions, services=["promises"]),
    "hot_customer": Scenario(publishers.hot_customer),
    "overload": Scenario(publishers.overload),
    "compaction": Scenario(storage.compaction),
    "cut": Scenario(storage.cut),
    "silence": Scenario(sources.silence),
    "silence_undeclared": Scenario(sources.silence_undeclared, must_fail=True),
    "storm": Scenario(storm.storm),
    "standards": Scenario(standards.standards, services=["sla"]),
}
PLAYS = [
    Play(subject, name, scenario)
    for subject in SUBJECTS.values()
    for name, scenario in SCENARIOS.items()
    if subject.service in scenario.services
]
