"""The one oracle of every scenario: a plain batch computation over what was published, against what stands in Kafka.

It shares the protobuf classes with the services, and no line of code with the engine or with what they judge by.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import unified_diff
from typing import Any
from urllib.parse import unquote

from tests.chaos.chain import Chain, Circumstances, Told
from tests.chaos.reading import Refused, home
from tests.chaos.report import Finding, Report
from tests.chaos.subject import Judge, packed
from tests.chaos.tape import Entry

#: The key by which a worker shuts out its predecessors; no record.
_FENCE = b"~fence"
_Place = tuple[str, int, int]  # topic, partition, offset


@dataclass
class Published:
    """What the input comes to."""

    judge: Judge
    partitions: int
    events: int = 0
    told: defaultdict[bytes, list[Told]] = field(default_factory=lambda: defaultdict(list))
    #: The unusable messages, by where they stand, each with the reason.
    refused: dict[_Place, tuple[Entry, str]] = field(default_factory=dict)
    #: By record and id: the messages that give it to an event, by what they say.
    said: defaultdict[tuple[bytes, str, str], defaultdict[Any, dict[_Place, Entry]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(dict))
    )

    @classmethod
    def of(cls, judge: Judge, inputs: Mapping[str, Iterable[Entry]], partitions: int) -> "Published":
        """Understand the messages of each input topic, by its name without prefix."""
        all_of_it = cls(judge, partitions)
        for name, entries in inputs.items():
            for entry in entries:
                all_of_it.events += 1
                try:
                    for key, said in judge.facts_of(name, entry, partitions):
                        all_of_it.told[key].append(Told(entry.at, said))
                        all_of_it.said[key, said.source, said.event_id][said][_place(entry)] = entry
                except Refused as refused:
                    all_of_it.refused[_place(entry)] = entry, str(refused)
        return all_of_it

    def reused(self) -> Iterator[Mapping[_Place, Entry]]:
        """Of each id that was given to different events, the messages: whichever came second is set aside."""
        for ways in self.said.values():
            if len(ways) > 1:
                yield {place: entry for places in ways.values() for place, entry in places.items()}

    def expected(self, now: int) -> Mapping[bytes, bytes]:
        """The table of records as of an instant."""
        return {
            key: packed(self.judge.record(key, (each.said for each in told), now)) for key, told in self.told.items()
        }


def records_in(log: Iterable[Entry]) -> list[Entry]:
    """The writes of records in a log."""
    return [entry for entry in log if entry.key != _FENCE]


def table_of(records: Iterable[Entry]) -> Mapping[bytes, bytes]:
    """The last value of each key; deleted ones left out."""
    table = {entry.key or b"": entry.value for entry in records}
    return {key: value for key, value in table.items() if value is not None}


def is_complete(
    expected: Mapping[bytes, bytes], published: Published, records: Iterable[Entry], dead: Iterable[Entry]
) -> bool:
    """Whether all that must come is there."""
    aside = {_origin(letter) for letter in dead}
    return (
        table_of(records) == expected
        and published.refused.keys() <= aside
        and all(not aside.isdisjoint(places) for places in published.reused())
    )


def examine(
    published: Published, log: Iterable[Entry], table: Mapping[bytes, bytes], dead: Iterable[Entry], run: Circumstances
) -> Report:
    """Everything that is wrong. `log`: every write there was; `table`: what Kafka now holds of it."""
    report = Report(records=len(published.told))
    _check_table(published.judge, published.expected(run.now), table, report)
    chains: defaultdict[bytes, list[Entry]] = defaultdict(list)
    for entry in records_in(log):
        key = entry.key or b""
        chains[key].append(entry)
        if _home_of(key, published.partitions) != entry.partition:
            report.findings.append(Finding("wrong", key.decode(), f"written to partition {entry.partition}"))
    for key, told in published.told.items():
        Chain(published.judge, key, told, chains[key], run, report).check()
    _check_dead_letters(published, dead, report)
    return report


def _check_table(judge: Judge, expected: Mapping[bytes, bytes], found: Mapping[bytes, bytes], report: Report) -> None:
    for key in sorted(expected.keys() | found.keys()):
        if key not in found:
            report.findings.append(Finding("lost", key.decode(), "there is no record"))
        elif key not in expected:
            report.findings.append(Finding("wrong", key.decode(), "a record that nobody's word stands behind"))
        elif found[key] != expected[key]:
            report.findings.append(Finding("lost", key.decode(), _difference(judge, expected[key], found[key])))


def _difference(judge: Judge, expected: bytes, found: bytes) -> str:
    told, have = (str(judge.account(value).record).splitlines() for value in (expected, found))
    lines = (line for line in unified_diff(told, have, n=0) if line[:2] not in {"--", "++", "@@"})
    return f"not the final record: {' '.join(lines)}"


def _check_dead_letters(published: Published, dead: Iterable[Entry], report: Report) -> None:
    refused, aside = published.refused, set[_Place]()
    groups = list(published.reused())
    reused = {place: (entry, "event_id_reused") for places in groups for place, entry in places.items()}
    for letter in dead:
        report.dead_letters += 1
        place = _origin(letter)
        report.repeated_dead_letters += place in aside
        aside.add(place)
        expected = refused.get(place) or reused.get(place)
        if expected is None:
            report.findings.append(Finding("wrong", str(place), f"put aside as {letter.header('reason')}, but usable"))
        elif wrong := _letter_problem(*expected, letter):
            report.findings.append(Finding("wrong", str(place), wrong))
    report.findings += [
        Finding("lost", str(place), f"{refused[place][1]}, but no dead letter")
        for place in sorted(refused.keys() - aside)
    ]
    report.findings += [
        Finding("lost", str(min(places)), "its id was used again, but no dead letter")
        for places in groups
        if aside.isdisjoint(places)
    ]


def _letter_problem(message: Entry, reason: str, letter: Entry) -> str:
    said = [(name.removeprefix("original-"), value) for name, value in letter.headers if name.startswith("original-")]
    if (letter.key, letter.value, tuple(said)) != (message.key, message.value, message.headers):
        return "the dead letter is not the message that was sent"
    found = letter.header("reason")
    return "" if found == reason else f"put aside as {found!r}, expected {reason!r}"


def _home_of(key: bytes, partitions: int) -> int:
    return home(unquote(key.decode().partition("/")[0].removeprefix("~")), "", partitions)


def _place(entry: Entry) -> _Place:
    return entry.topic, entry.partition, entry.offset


def _origin(letter: Entry) -> _Place:
    return letter.header("topic"), int(letter.header("partition")), int(letter.header("offset"))
