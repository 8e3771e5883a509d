"""Breaches that are kept back: the engine asks before the clock announces one, and looks again in time."""

from services.shared.engine.hold import Held
from services.shared.engine.keeper import Keeper
from services.shared.engine.machine import Machine
from services.shared.engine.stage import Headers
from services.shared.engine.store import PartitionStore
from services.shared.instant import SECOND, Instant
from tests.unit.engine.fakes import Tally, a_message
from tests.unit.engine.test_keeper import kept, records, said, sweep
from tests.unit.engine.toy import DEAD_LETTERS, INPUT, MACHINE, Fact, Reminder, State

NOW = Instant(1_000 * SECOND)
RING = 500


class Patience:
    """Holds everything until `until`; then it is announced with `headers`."""

    def __init__(self) -> None:
        self.until = Instant(800)
        self.headers: Headers = ()
        self.asked: list[tuple[bytes, Instant, Instant, Held | None]] = []
        self.batches: list[tuple[str, Instant]] = []

    def heard(self, topic: str, arrived_at: Instant) -> None:
        self.batches.append((topic, arrived_at))

    def consider(
        self, partition: int, key: bytes, record: object, breached_at: Instant, clock: Instant, held: Held | None
    ) -> Held | Headers:
        assert partition == 0
        assert isinstance(record, Reminder)
        assert record.state == State.RUNG
        self.asked.append((key, breached_at, clock, held))
        return Held(self.until) if clock < self.until else self.headers


class Rig:
    """A keeper that asks, with one reminder that rings at 500."""

    def __init__(self, machine: Machine[Reminder, Fact] = MACHINE) -> None:
        self.tally, self.hold = Tally(), Patience()
        self.keeper = Keeper(machine, self.tally, dead_letters=DEAD_LETTERS, dead_letter_partitions=3, hold=self.hold)
        self.keeper.stores[0] = PartitionStore(machine)
        self.say(said("ring", 1, RING))

    def say(self, fact: Fact, offset: int = 7) -> None:
        """A batch with one fact."""
        self.keeper.process(INPUT, 0, [a_message(offset, ("a", fact))], NOW)

    def sweep(self, clock: int) -> dict[bytes, Reminder | None]:
        """What is announced at an instant."""
        return records(sweep(self.keeper, clock))


def test_a_breach_is_held_until_it_need_not_be() -> None:
    """Nothing is written, the record stays as it was, and it is asked again only when it said so."""
    rig = Rig()
    before = kept(rig.keeper)
    assert rig.sweep(600) == {}
    assert rig.sweep(700) == {}
    assert rig.hold.asked == [(b"a", RING, 600, None)]
    assert kept(rig.keeper) == before
    assert rig.keeper.stores[0].held == {b"a": Held(Instant(800))}
    (reminder,) = rig.sweep(800).values()
    assert reminder
    assert reminder.state == State.RUNG
    assert rig.hold.asked[1:] == [(b"a", RING, 800, Held(Instant(800)))]
    assert not rig.keeper.stores[0].held
    assert rig.sweep(10_000) == {}


def test_it_is_announced_with_what_the_hold_has_to_say() -> None:
    """Beside the headers of every write. A breach that was held is not late by the engine's fault."""
    rig = Rig()
    rig.hold.headers = [("unheard", b"shop")]
    rig.sweep(600)
    (write,) = sweep(rig.keeper, 900).writes
    assert write.headers[0] == ("transition", b"rung")
    assert write.headers[-1] == ("unheard", b"shop")
    assert rig.tally.delays == []


def test_what_is_not_held_is_measured_as_ever() -> None:
    """The delay from the first instant to the announcement."""
    rig = Rig()
    rig.hold.until = Instant(0)
    assert rig.sweep(600)
    assert rig.tally.delays == [(NOW - RING) / SECOND]


def test_whoever_holds_it_can_have_it_looked_at_before() -> None:
    """As when a source is heard again."""
    rig = Rig()
    rig.sweep(600)
    rig.hold.until = Instant(650)
    rig.keeper.stores[0].expect([b"a"])
    assert rig.sweep(700).keys() == {b"a"}


def test_a_fulfilment_meanwhile_leaves_nothing_to_announce() -> None:
    """The promise was kept, and nobody hears of a breach."""
    rig = Rig()
    rig.sweep(600)
    rig.say(said("done", 400))
    assert rig.sweep(10_000) == {}
    assert not rig.keeper.stores[0].held
    assert len(rig.hold.asked) == 1


def test_a_new_time_is_kept_to_although_it_comes_before_the_next_look() -> None:
    """What is held until 800 and is then to ring at 700 is looked at at 700."""
    rig = Rig()
    rig.sweep(600)
    rig.say(said("ring", 2, 700))
    assert rig.sweep(650) == {}
    rig.hold.until = Instant(0)
    assert rig.sweep(700).keys() == {b"a"}


def test_it_hears_of_every_batch() -> None:
    """Of its topic, and since when the last of it was in Kafka, in microseconds."""
    rig = Rig()
    rig.say(said("nothing"), offset=9)
    assert rig.hold.batches == [(INPUT, 7_000), (INPUT, 9_000)]
