"""Order events as load: which promise each concerns, when it happens and when the promise is due."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from puntual.events.v1.order_event_pb2 import MILESTONE_READY, OrderEvent
from services.shared.clock import set_timestamp
from services.shared.instant import SECOND, Instant

CUSTOMERS = 10_000
DAY = 86_400 * SECOND
#: Larger than the promises of any benchmark, and prime: steps of it visit each of them once, in no near order.
_STRIDE = 15_485_863


class Event(NamedTuple):
    """An event, serialised, and the customer it is published for."""

    customer: str
    value: bytes


#: Which promise (by its number), and whether it is made; otherwise it is kept.
Step = tuple[int, bool]


def paired(count: int, apart: int, first: int = 0) -> Iterator[Step]:
    """Promises from number `first` on and their fulfilments, half and half, each `apart` promises after its promise."""
    promises = count // 2
    for number in range(promises + apart):
        if number < promises:
            yield first + number, True
        if number >= apart:
            yield first + number - apart, False


def promises(count: int, first: int = 0) -> Iterator[Step]:
    """Promises only."""
    return ((number, True) for number in range(first, first + count))


def steady(count: int, waiting: int) -> Iterator[Step]:
    """Where promises 0 to `waiting` - 1 are open: one of them is kept, a new one made, so that as many stay open.

    Those that are kept lie far from each other. Each new promise is kept as much later as there are open ones.
    """
    for step in range(count // 2):
        generation, place = divmod(step, waiting)
        number = generation * waiting + place * _STRIDE % waiting
        yield number, False
        yield number + waiting, True


def far(number: int, made_at: Instant) -> Instant:
    """A due time that no benchmark reaches: spread over the thirty days from the next, so that every promise waits."""
    return Instant(made_at + (1 + number % 30) * DAY + number)


def order_event(step: Step, at: Instant, due: Callable[[int, Instant], Instant] = far) -> Event:
    """The event of a step that happens `at` an instant."""
    number, made = step
    customer = f"c-{number % CUSTOMERS}"
    event = OrderEvent(
        event_id=f"{'p' if made else 'r'}-{number:08}", source="shop", customer_id=customer, subject_id=f"o-{number:08}"
    )
    set_timestamp(event.occurred_at, at)
    if made:
        event.promised.milestone = MILESTONE_READY
        set_timestamp(event.promised.due.at, due(number, at))
    else:
        event.ready.SetInParent()
    return Event(customer, event.SerializeToString())
