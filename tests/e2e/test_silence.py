"""How soon a silence is noticed, and how often mistakenly, on real streams of events.

Measured: 1,912 of 1,944 stops in time (98.4 %), 0.89 false alarms a month and stream. Some of these may be
true: on 21 July 2015 several sources of the city fell silent for 37 hours.
"""

import csv
import gzip
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from services.shared.instant import SECOND, Instant, from_datetime
from services.shared.sources.rhythm import LEARNING, Rhythm

HOUR, MONTH = 3_600 * SECOND, 30 * 86_400 * SECOND
#: A stream is made of the times in one column, one for each source and site that others name; of whole years.
COLUMNS: Sequence[tuple[str, str, Sequence[str]]] = (
    ("boston311_2015.csv.gz", "open_dt", ("source",)),
    ("boston311_2015.csv.gz", "open_dt", ("source", "neighborhood")),
    ("boston311_2015.csv.gz", "closed_dt", ("subject",)),
    ("olist_orders.csv.gz", "order_purchase_timestamp", ()),
    ("olist_orders.csv.gz", "order_approved_at", ()),
    ("olist_orders.csv.gz", "order_delivered_carrier_date", ()),
    ("olist_orders.csv.gz", "order_delivered_customer_date", ()),
    ("helpdesk_it.csv.gz", "timestamp", ("workgroup",)),
)
FEWEST = 300
STOPS = 20


def streams(data: Path) -> Iterator[list[Instant]]:
    """When each stream was heard, in order, of those that were heard often enough to be learned."""
    for file, time, by in COLUMNS:
        heard: defaultdict[tuple[str, ...], set[Instant]] = defaultdict(set)
        with gzip.open(data / file, "rt") as rows:
            for row in csv.DictReader(rows):
                if row[time]:
                    heard[tuple(row[column] for column in by)].add(_instant(row[time]))
        yield from (sorted(times) for times in heard.values() if len(times) >= FEWEST)


def _instant(text: str) -> Instant:
    moment = datetime.fromisoformat(text)
    return from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def usual_gaps(heard: Sequence[Instant]) -> Mapping[int, int]:
    """By hour of the week: what 95 of 100 looks at the stream in this hour find its gap to be, at most."""
    found: defaultdict[int, list[int]] = defaultdict(list)
    for before, after in pairwise(heard):
        for look in range(before - before % (HOUR // 6), after, HOUR // 6):
            if look >= before:
                found[look // HOUR % 168].append(after - before)
    return {hour: sorted(gaps)[int(0.95 * len(gaps))] for hour, gaps in found.items()}


def tried(heard: Sequence[Instant], chance: random.Random) -> tuple[float, int, int]:
    """False alarms a month; of the stops planted how many were noticed in time, and how many there were."""
    rhythm, usual = Rhythm(), usual_gaps(heard)
    stops = sorted(chance.uniform(heard[0] + LEARNING, heard[-1]) for _ in range(STOPS))
    alarms, noticed, planted, learned_at = 0, 0, 0, None
    for before, after in pairwise(heard):
        rhythm.heard(before)
        here = [stop for stop in stops[planted:] if stop < after]
        if after - before < HOUR // 60 and not here:
            continue
        silent_after = rhythm.silent_after(before)
        if silent_after is None:
            stops = [stop for stop in stops if stop >= after]
            continue
        learned_at = learned_at or before
        alarms += after - before > silent_after
        planted += len(here)
        noticed += sum(before + silent_after - stop <= 3 * usual[int(stop // HOUR % 168)] for stop in here)
    assert learned_at is not None
    return alarms * MONTH / (heard[-1] - learned_at), noticed, planted


@pytest.mark.slow
def test_a_stop_is_noticed_in_three_usual_gaps_and_hardly_ever_mistakenly(data: Path) -> None:
    """Of 1,944 stops planted in 105 streams 95 % are noticed in time, at one false alarm a month and stream."""
    chance = random.Random(311)
    outcomes = [tried(heard, chance) for heard in streams(data)]
    alarms, noticed, planted = map(sum, zip(*outcomes, strict=True))
    assert len(outcomes) >= 100
    assert planted >= 1_000
    assert noticed >= 0.95 * planted
    assert alarms <= len(outcomes)
