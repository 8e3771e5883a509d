"""The assignor: inputs and records of a partition go together, and a static member may come back at another address."""

from typing import Any

from faust.types import TP

from tests.unit.engine.rig import an_app
from tests.unit.engine.toy import INPUT, OTHER_INPUT, RECORDS

TOPICS = {INPUT, OTHER_INPUT, RECORDS}


class Cluster:
    """Every topic has two partitions."""

    def partitions_for_topic(self, _topic: str) -> set[int]:
        return {0, 1}


def share(**members: Any) -> dict[str, Any]:
    """What the group's leader assigns to each member."""
    leader = next(iter(members.values())).assignor
    metadata = {name: app.assignor.metadata(TOPICS) for name, app in members.items()}
    return dict(leader.assign(Cluster(), metadata))


async def test_a_worker_gets_all_of_a_partition_or_nothing() -> None:
    """The records of a customer and everything that is said of the customer are in one worker."""
    assignments = share(one=an_app("127.0.0.1:1001"), two=an_app("127.0.0.1:1002"))
    owned = [{topic: set(partitions) for topic, partitions in given.assignment} for given in assignments.values()]
    assert all(topics.keys() == TOPICS for topics in owned)
    assert sorted(sorted(map(sorted, topics.values())) for topics in owned) == [[[0]] * 3, [[1]] * 3]


async def test_an_assignment_made_for_another_address_is_taken() -> None:
    """It is the member's own, whatever port it listened on before; and it says where the others are."""
    first, other = an_app("127.0.0.1:1001"), an_app("127.0.0.1:1002")
    given = share(one=first, two=other)["one"]
    back = an_app("127.0.0.1:2001").assignor
    back.on_assignment(given)
    assert {tp.topic for tp in back.assigned_actives()} == TOPICS
    assert len({tp.partition for tp in back.assigned_actives()}) == 1
    own = next(iter(back.assigned_actives())).partition
    assert "127.0.0.1:1002" in back._tps_url[TP(RECORDS, 1 - own)]  # noqa: SLF001 - as the worker reads it
