"""One message that stands for several."""

from services.notifier.digest import LISTED, kinds, merged
from services.notifier.items import Severity
from services.notifier.outbox import Delivery
from tests.unit.notifier.builders import an_item, at, broken

(FIRST,) = broken("A-1").deliveries
(SECOND,) = broken("A-2", "A-3").deliveries


def test_it_speaks_of_everything_and_answers_everything() -> None:
    """At the highest severity and as of the newest; it may repeat if any of them may."""
    mild = FIRST._replace(severity=Severity.WARNING, answers=("a", "c"), over=("a",), threads=("1.1",))
    both = merged([mild, SECOND._replace(answers=("b", "c"), threads=("1.2",), decided_at=at(9), may_repeat=True)])
    assert {item.record_id for item in both.items} == {f"C-7/order_ready/A-{number}" for number in (1, 2, 3)}
    assert (both.item_count, both.severity, both.decided_at, both.may_repeat) == (3, Severity.CRITICAL, at(9), True)
    assert (both.answers, both.over, both.threads) == (("a", "b", "c"), ("a",), ("1.1", "1.2"))
    assert (both.target, both.channel, both.kind) == (FIRST.target, FIRST.channel, FIRST.kind)


def test_its_id_is_that_of_what_it_stands_for() -> None:
    """Whatever their order, and of nothing else."""
    assert merged([FIRST, SECOND]).delivery_id == merged([SECOND, FIRST]).delivery_id
    ids = {FIRST.delivery_id, SECOND.delivery_id, merged([FIRST]).delivery_id, merged([FIRST, SECOND]).delivery_id}
    assert len(ids) == 4
    assert all(len(delivery_id) == len(FIRST.delivery_id) for delivery_id in ids)


def test_it_lists_the_worst() -> None:
    """The severe before the mild, the old before the new; all of them are counted."""
    deliveries = [one(number, Severity.CRITICAL if number % 2 else Severity.WARNING) for number in range(30)]
    both = merged(deliveries)
    assert [item.record_id.rpartition("-")[2] for item in both.items] == [f"{n:02}" for n in range(1, 2 * LISTED, 2)]
    assert both.item_count == 30


def test_things_are_counted_by_kind() -> None:
    """The most frequent first."""
    deliveries = [one(number, Severity.WARNING, "callback" if number < 2 else "order_ready") for number in range(7)]
    assert list(kinds(deliveries).items()) == [("order_ready", 5), ("callback", 2)]


def one(number: int, severity: Severity, kind: str = "order_ready") -> Delivery:
    item = an_item(offset=number + 1, subject=f"A-{number:02}", severity=severity)._replace(kind=kind)
    return FIRST._replace(delivery_id=f"{number}", items=(item,))
