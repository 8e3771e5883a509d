"""Whatever comes in by any door, nothing but the documented errors comes out, and it costs little.

    make test ARGS="tests/fuzz"                                     # a minute; what CI runs
    make test ARGS="tests/fuzz --fuzz-seconds 1800 --fuzz-seed 7"   # longer, and from another seed

Each input follows from the seed, its door and its number: `--fuzz-input "DOOR#NUMBER"` runs one of them alone.
"""

import logging
import resource
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.doors import Door, doors

#: Escapes that are known: door → how what is said of them begins. Each is to be mended.
KNOWN: dict[str, tuple[str, ...]] = {}
#: How much a whole run may add to the most memory that the process has ever had; MB.
_MEMORY = 300


def _attempt(door: Door, seed: str) -> tuple[str, float]:
    """Put one input in: what escaped (empty: nothing), and the milliseconds of CPU that it took."""
    put = door.knock(Random(seed))
    start = time.thread_time()
    try:
        put()
    except door.raises:
        escape = ""
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        place = error.__traceback__
        while place and place.tb_next:
            place = place.tb_next
        where = f"{Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}" if place else ""
        escape = f"{type(error).__name__} at {where}"
    else:
        escape = ""
    return escape, (time.thread_time() - start) * 1_000


def _costs_too_much(door: Door, seed: str) -> bool:
    """Whether it does so again and again: once it may be the garbage collector, or a table made for ever."""
    return all(_attempt(door, seed)[1] > door.budget for _ in range(3))


def test_nothing_escapes_and_nothing_costs_too_much(
    request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All doors in turn, until time is over."""
    logging.disable(logging.CRITICAL)
    caplog.set_level(logging.CRITICAL)
    try:
        found, tried, memory = _run(request.config, doors(tmp_path))
    finally:
        logging.disable(logging.NOTSET)
    assert min(tried.values()) > 0
    assert not found, "\n".join(
        f"{what}: {', '.join(seeds[:3])} ({len(seeds)})" for what, seeds in sorted(found.items())
    )
    assert memory < _MEMORY, f"{memory:.0f} MB more"


def _run(config: pytest.Config, table: Mapping[str, Door]) -> tuple[dict[str, list[str]], Counter[str], float]:
    """Escapes and costs → their inputs; how many inputs each door was given; and how many MB all that took."""
    seed, only = config.getoption("--fuzz-seed"), config.getoption("--fuzz-input")
    names = [name for name in table if not only or only.rpartition("#")[0] == name]
    until = time.monotonic() + config.getoption("--fuzz-seconds")
    found: dict[str, list[str]] = {}
    tried, number, before = Counter[str](), 0, 0
    while time.monotonic() < until or not number:
        for name in names:
            share = time.monotonic() + (until - time.monotonic()) * 0.01
            while True:
                which = int(only.rpartition("#")[2]) if only else tried[name]
                escape, cost = _attempt(table[name], f"{seed}/{name}#{which}")
                tried[name] += 1
                if not escape and cost > table[name].budget and _costs_too_much(table[name], f"{seed}/{name}#{which}"):
                    escape = f"takes more than {table[name].budget:.0f} ms"
                if escape and not escape.startswith(KNOWN.get(name, ())):
                    found.setdefault(f"{name}: {escape}", []).append(f"#{which}")
                if only or time.monotonic() >= share:
                    break
        number += 1
        before = before or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if only:
            break
    return found, tried, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
