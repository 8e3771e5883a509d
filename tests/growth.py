"""How the cost of work grows with its input, in CPU time of this thread: other programs on the machine do not count."""

import gc
import time
from collections.abc import Callable


def cpu_seconds(work: Callable[[], object], times: int = 3) -> float:
    """What work costs at least."""
    return min(_once(work) for _ in range(times))


def growth(prepare: Callable[[int], Callable[[], object]], size: int, factor: int = 8) -> float:
    """How many times as much a unit of input costs where there are `factor` times as many.

    1: the work grows as its input does; `factor`: with its square. `prepare` makes work of so many units.
    """
    small, large = cpu_seconds(prepare(size)), cpu_seconds(prepare(size * factor))
    return large / small / factor


def _once(work: Callable[[], object]) -> float:
    was_on = gc.isenabled()
    gc.disable()
    try:
        start = time.thread_time()
        work()
        return time.thread_time() - start
    finally:
        if was_on:
            gc.enable()
