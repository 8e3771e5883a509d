"""An Italian help desk, judged by the clocks and beside them by a plain computation over its table."""

import csv
import gzip
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import holidays
import numpy as np
import pandas as pd
import pytest

from puntual.events.v1.contact_event_pb2 import ContactEvent
from services.shared.clock import set_timestamp
from services.shared.envelope import Limits
from services.shared.instant import Instant, from_datetime
from services.sla import codec
from services.sla.model import Clock, State
from services.sla.policies import load_policies
from services.sla.standards import InForce, Standards

STANDARDS = Path(__file__).parents[1] / "examples" / "standards" / "helpdesk_it.yaml"
LATEST = from_datetime(datetime.fromisoformat("2014-02-01T00:00:00+00:00"))
MACHINE = codec.machine(InForce(Standards.of(load_policies(STANDARDS))), Limits(lambda: LATEST))
#: What a row tells beside that the case is there, and, unless somebody waits, that nobody waits any more.
ARMS = {
    "Take in charge ticket": "replied", "Resolve ticket": "resolved", "RESOLVED": "resolved", "Closed": "closed",
    "Wait": "held",
}  # fmt: skip
DAY = 9 * 3600.0  # seconds that the desk is open
LIMITS = {"first_reply": DAY, "resolution": 5 * DAY}
Verdicts = Mapping[str, Counter[str]]


@pytest.fixture(scope="module")
def table(data: Path) -> Path:
    """21,348 rows of 4,580 tickets; 127 rows are there twice."""
    return data / "helpdesk_it.csv.gz"


# --- by the clocks


def events(table: Path) -> list[bytes]:
    """What each row tells. A row that is there twice has the same ids: it is the same event."""
    found = []
    with gzip.open(table, "rt") as file:
        for row in csv.DictReader(file):
            arms = ["received", ARMS.get(row["activity"], "updated")]
            arms += [] if row["activity"] == "Wait" else ["resumed"]
            for arm in arms:
                event = ContactEvent(event_id=f"{arm}:{'|'.join(row.values())}"[-255:], source="desk")
                event.subject_id = row["case_id"]
                set_timestamp(event.occurred_at, from_datetime(datetime.fromisoformat(row["timestamp"])))
                getattr(event, arm).SetInParent()
                if arm == "held":
                    event.held.reason = "Wait"
                found.append(event.SerializeToString())
    return found


def judged(values: Iterable[bytes]) -> dict[bytes, Clock]:
    """The clocks when these events have come, thousand by thousand, and all deadlines have passed."""
    clocks: dict[bytes, Clock] = {}
    decode = MACHINE.inputs["puntual.contacts.v1"]
    for batch in _batches(values):
        facts = defaultdict(list)
        for value in batch:
            for key, fact in decode(value, False):
                facts[key].append(fact)
        for key, new in facts.items():
            if (clock := MACHINE.fold(key, clocks.get(key), new)) is not None:
                clocks[key] = clock
    return {key: judged for key, clock in clocks.items() if (judged := MACHINE.due(clock, LATEST))}


def _batches(values: Iterable[bytes]) -> Iterator[Sequence[bytes]]:
    source = iter(values)
    while batch := list(islice(source, 1_000)):
        yield batch


@pytest.fixture(scope="module")
def clocks(table: Path) -> dict[bytes, Clock]:
    """Judged in the order of the file."""
    return judged(events(table))


def verdicts(clocks: Mapping[bytes, Clock]) -> dict[tuple[str, str], str]:
    """(metric, case) → its verdict."""
    return {
        (codec.identity(key)[1].name.lower(), clock.subject_id): State(clock.cycle.state).name.lower()  # type: ignore[attr-defined]
        for key, clock in clocks.items()
    }


# --- by a plain computation


class Office:
    """Seconds that the desk was open before an instant."""

    def __init__(self) -> None:
        self._first = pd.Timestamp("2010-01-01", tz="Europe/Rome")
        closed = holidays.country_holidays("IT", years=range(2010, 2015))
        days = pd.date_range("2010-01-01", "2014-12-31")
        self._open = np.array([day.weekday() < 5 and day.date() not in closed for day in days], dtype=float)
        self._before = np.concatenate([[0.0], np.cumsum(self._open * DAY)])

    def until(self, at: pd.Timestamp) -> float:
        local = at.tz_convert("Europe/Rome")
        day = (local.date() - self._first.date()).days
        second = local.hour * 3600 + local.minute * 60 + local.second
        return float(self._before[day] + self._open[day] * min(max(second - DAY, 0.0), DAY))

    def is_within(self, limit: float, at: pd.Timestamp) -> bool:
        """Whether so many seconds had not passed before; what comes when the desk has closed on them is late."""
        spent = self.until(at)
        return spent < limit or (spent == limit and self.until(at - pd.Timedelta(seconds=1)) < limit)


def computed(table: Path) -> dict[tuple[str, str], str]:
    """The same verdicts, from the table as a whole."""
    frame: Any = pd.read_csv(table).drop_duplicates()
    frame["at"] = pd.to_datetime(frame["timestamp"], utc=True)
    office, now = Office(), pd.Timestamp("2014-02-01", tz="UTC")
    found = {}
    for case, rows in frame.groupby("case_id"):
        start = rows["at"].min()
        replies = rows.loc[rows["activity"] == "Take in charge ticket", "at"]
        ends = rows.loc[rows["activity"].isin(["Resolve ticket", "RESOLVED", "Closed"]), "at"]
        reply, end = (times.min() if len(times) else None for times in (replies, ends))
        spent = office.until(start)
        found["first_reply", case] = _reply(reply, end, partial(office.is_within, spent + LIMITS["first_reply"]))
        found["resolution", case] = _resolution(rows, end or now, end is not None, office)
    return found


def _reply(reply: Any, end: Any, in_time: Callable[[Any], bool]) -> str:
    if end is not None and in_time(end) and not (reply is not None and reply <= end):
        return "cancelled"
    if reply is None:
        return "breached"
    return "met" if in_time(reply) else "missed"


def _resolution(rows: Any, until: Any, is_over: bool, office: Office) -> str:
    limit, start = LIMITS["resolution"], office.until(rows["at"].min())
    others = rows.loc[rows["activity"] != "Wait", "at"]
    held = 0.0
    for wait in sorted(set(rows.loc[rows["activity"] == "Wait", "at"])):
        if wait >= until or office.until(wait) - start - held >= limit:
            break
        later = others[others > wait]
        if not len(later):
            if not is_over:
                return "paused"
            later = pd.Series([until])
        resumed = min(later.min(), until)
        # A second wait within the first ends that one, and takes over.
        following = [at for at in rows.loc[rows["activity"] == "Wait", "at"] if wait < at < resumed]
        resumed = min([resumed, *following])
        held += office.until(resumed) - office.until(wait)
    in_time = office.is_within(start + held + limit, until)
    if is_over:
        return "met" if in_time else "missed"
    return "running" if in_time else "breached"


def test_every_verdict_is_that_of_the_plain_computation(table: Path, clocks: dict[bytes, Clock]) -> None:
    """First reply and resolution of every ticket, in working time, with the pauses."""
    expected, found = computed(table), verdicts(clocks)
    assert len(expected) == len(found) == 2 * 4_580
    assert {key: (found[key], verdict) for key, verdict in expected.items() if found[key] != verdict} == {}
    assert {state for (metric, _), state in found.items() if metric == "resolution"} >= {"met", "missed"}


def test_order_and_repetition_do_not_matter(table: Path, clocks: dict[bytes, Clock]) -> None:
    """In any order, and a tenth of it again, the same bytes."""
    values, random = events(table), Random(7)
    values += random.sample(values, len(values) // 10)
    random.shuffle(values)
    again = judged(values)
    assert again.keys() == clocks.keys()
    assert all(codec.pack(again[key]) == codec.pack(clock) for key, clock in clocks.items())


@pytest.mark.parametrize(("cut", "most"), [("day", 25), ("hour", 15), ("minute", 6)])
def test_times_without_hours_make_hardly_anybody_late(table: Path, cut: str, most: int) -> None:
    """Cut as exports cut them: facts of one instant have their rank, and a hold is not lost beside a resumption."""
    exact, ranked = (verdicts(judged(cut_events(table, cut, steps))) for steps in (True, False))
    late = [key for key, verdict in exact.items() if verdict == "met" and ranked[key] == "missed"]
    assert len(late) <= most


def cut_events(table: Path, cut: str, steps: bool) -> list[bytes]:
    """Each row once, its time cut; with `steps` a microsecond later for each that stands above it."""
    less = {"minute": {"second": 0}, "hour": {"second": 0, "minute": 0}, "day": {"second": 0, "minute": 0, "hour": 0}}
    found, told = [], Counter[str]()
    with gzip.open(table, "rt") as file:
        for row in dict.fromkeys(tuple(row.items()) for row in csv.DictReader(file)):
            fields = dict(row)
            case, activity = fields["case_id"], fields["activity"]
            arms = [] if told[case] else ["received"]
            arms += [] if activity == "Wait" else ["resumed"]
            for arm in (*arms, ARMS.get(activity, "updated")):
                event = ContactEvent(event_id=f"{case}:{told[case]}", source="desk", subject_id=case)
                at = datetime.fromisoformat(fields["timestamp"]).replace(**less[cut])  # type: ignore[arg-type]
                set_timestamp(event.occurred_at, Instant(from_datetime(at) + told[case] * steps))
                getattr(event, arm).SetInParent()
                if arm == "held":
                    event.held.reason = "Wait"
                told[case] += 1
                found.append(event.SerializeToString())
    return found


def test_waiting_makes_a_difference(clocks: dict[bytes, Clock]) -> None:
    """Tickets whose time to be resolved was moved by a wait."""
    moved = Counter(
        bool(clock.cycle.due_at) and clock.cycle.due_at > Instant(0)
        for key, clock in clocks.items()
        if codec.identity(key)[1].name == "RESOLUTION" and any(fact.what == "Wait" for fact in clock.facts)  # type: ignore[attr-defined]
    )
    assert moved[True] > 1_200
