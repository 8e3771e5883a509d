"""What the standards cost: a calendar's arithmetic, an event under one policy and under a hundred, a backtest."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from benchmarks.child import Child, environment
from benchmarks.report import Row
from benchmarks.site import Site
from services.shared.instant import SECOND, Instant, format_instant, parse_instant
from services.shared.keys import record_key
from services.shared.public_holidays import public_holidays
from services.sla.codec import identity
from services.sla.domain import fold, note
from services.sla.model import Clock, Fact, FactKind
from services.sla.policies import PolicyBook, read_policies
from services.sla.standards import Standards

DAY = 86_400 * SECOND
START = parse_instant("2026-01-05T00:00:00Z")
CALENDARS = """
  office{n}: {{zone: Europe/Madrid, holidays: [ES-MD], hours: {{mon-fri: "09:00-14:00, 16:00-19:{n:02}"}}}}"""
TARGETS = """
    calendar: office{n}
    pauses: {{reasons: [customer], longest: 5 business days}}
    targets: {{first_reply: {{limit: 8 business hours, preferred: 2 business hours, warnings: [1 business hour]}}}}"""


class Task(NamedTuple):
    """How much of it."""

    spans: int
    cases: int


def document(policies: int, calendars: int) -> str:
    """Every case falls to another policy, and the last is for all."""
    named = "".join(CALENDARS.format(n=number) for number in range(calendars))
    rules = "".join(
        f"\n  - name: p{number}\n    when: {{team: t{number}, not: {{tier: x{number}}}}}"
        + TARGETS.format(n=number % calendars)
        for number in range(policies - 1)
    )
    return f'version: "1"\ncalendars:{named}\npolicies:{rules}\n  - name: all{TARGETS.format(n=0)}\n'


def book(policies: int, calendars: int) -> PolicyBook:
    return read_policies(document(policies, calendars), "bench", public_holidays)


# --- in the child


def calendar_cost(spans: int) -> tuple[float, float]:
    """Microseconds of CPU for adding a span, and for measuring one, of up to a year."""
    office, random = book(1, 1).calendars["office0"], Random(1)
    starts = [Instant(START + random.randrange(365 * DAY)) for _ in range(spans)]
    lengths = [random.randrange(365 * 8 * 3600 * SECOND * 5 // 7) for _ in range(spans)]
    ends = [office.add(start, length) for start, length in zip(starts, lengths, strict=True)]  # and so it is warm
    begun = time.process_time()
    for start, length in zip(starts, lengths, strict=True):
        office.add(start, length)
    added = time.process_time()
    for start, end in zip(starts, ends, strict=True):
        office.measure(start, end)
    return (added - begun) / spans * 1e6, (time.process_time() - added) / spans * 1e6


def event_cost(cases: int, policies: int, calendars: int) -> float:
    """Microseconds of CPU for an event, folded into its clock: received, held, resumed, replied."""
    standards, random = Standards.of(book(policies, calendars)), Random(2)
    lives = [_life(number, random) for number in range(cases)]
    for key, facts in lives[:1_000]:
        _live(key, facts, standards)
    begun = time.process_time()
    for key, facts in lives:
        _live(key, facts, standards)
    return (time.process_time() - begun) / sum(len(facts) for _, facts in lives) * 1e6


def _life(number: int, random: Random) -> tuple[bytes, Sequence[Fact]]:
    start, team = START + random.randrange(90 * DAY), f"t{random.randrange(99)}"
    steps = ((FactKind.STARTED, 0), (FactKind.HELD, 1), (FactKind.RESUMED, 5), (FactKind.STOPPED, 8))
    context = ("", "", "Europe/Madrid", "", "Madrid", team, "email")
    return record_key(f"c{number}", "first_reply", f"m{number}"), [
        Fact(Instant(start + hours * 3600 * SECOND), "desk", str(hours), kind, "customer", context)
        for kind, hours in steps
    ]


def _live(key: bytes, facts: Sequence[Fact], standards: Standards) -> Clock:
    clock = note(identity(key), facts[:1], standards)
    for fact in facts[1:]:
        clock = fold(clock, [fact], standards)
    return clock


def main() -> None:
    """What `measure` has its child do."""
    task = Task(**json.loads(sys.argv[1]))
    few = [event_cost(task.cases, 1, 1) for _ in range(3)]
    many = [event_cost(task.cases, 100, 10) for _ in range(3)]
    print(json.dumps([*calendar_cost(task.spans), min(few), min(many)]))


# --- in the parent


def measure(site: Site) -> Iterator[Row]:
    """In processes of their own; Kafka has nothing to do here."""
    task = Task(site.size(200_000, 5_000), site.size(25_000, 1_000))
    with Child("benchmarks.standards", task, site.code) as child:
        pass
    add, span, few, many = json.loads(child.output)
    yield Row("adding a span of up to a year to an instant, in working time", add, "µs", 5)
    yield Row("measuring one", span, "µs", 5)
    yield Row("CPU of an event of a clock, one policy and one calendar", few, "µs")
    yield Row("CPU of an event of a clock, 100 policies and ten calendars", many, "µs")
    yield Row("the second, of the first", many / few, "times", 2)
    events = site.size(1_000_000, 20_000)
    yield Row(
        "backtest of two documents, events a minute", 60 * events / backtest_seconds(events, site.code), "", 1e6, True
    )


def backtest_seconds(events: int, code: Path | None) -> float:
    """Seconds that the command takes, all of it."""
    with tempfile.TemporaryDirectory() as directory:
        past, documents = Path(directory, "past.jsonl"), [Path(directory, f"{name}.yaml") for name in ("old", "new")]
        write_past(past, events)
        documents[0].write_text(document(10, 3))
        documents[1].write_text(document(10, 3).replace("8 business hours", "6 business hours"))
        command = [sys.executable, "-P", "-m", "services.cli", "standards", "backtest", "--json", "--events", str(past)]
        command += ["--against", str(documents[0]), "--standards", str(documents[1])]
        begun = time.monotonic()
        subprocess.run(command, env=environment(code), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.monotonic() - begun


def write_past(file: Path, events: int) -> None:
    """Contacts of three months: received, replied, and half of them held in between."""
    random, written, number = Random(3), 0, 0
    with file.open("w") as lines:
        while written < events:
            number += 1
            at = START + random.randrange(90 * DAY)
            head: dict[str, object] = {
                "topic": "contacts",
                "source": "desk",
                "customer_id": f"c{number % 10_000}",
                "subject_id": f"m{number}",
            }
            head |= {"team": f"t{random.randrange(9)}", "site": random.choice(("Madrid", "Sevilla", "Vigo"))}
            arms: list[dict[str, object]] = [
                {"received": {"kind": "CONTACT_KIND_EMAIL"}},
                {"replied": {}},
                {"resolved": {}},
            ]
            if number % 2:
                arms[1:1] = [{"held": {"reason": "customer"}}, {"resumed": {}}]
            for step, arm in enumerate(arms):
                at += random.randrange(10 * 3600) * SECOND
                event = {**head, "event_id": f"{number}-{step}", "occurred_at": format_instant(Instant(at)), **arm}
                lines.write(json.dumps(event) + "\n")
            written += len(arms)


if __name__ == "__main__":
    main()
