"""What is odd about a history: rows that tell nothing or contradict each other, and what a mapping names in vain."""

from collections import defaultdict
from collections.abc import Iterable, Mapping as Table, Sequence
from typing import Any

from services.cli.mapping import EventPlan, Mapping, Where
from services.cli.words import counted
from services.shared.publisher import Event

Row = Table[str, str]
#: Lines that are named; of more only how many there are.
_NAMED = 10
_ANYTHING = "*"


class Complaints:
    """Notes it row by row. None of it hangs on the order of the rows, and none repeats what a customer's row holds."""

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        self._lines: defaultdict[str, set[int]] = defaultdict(set)
        #: Place in the mapping → column, and the values that no row has held yet.
        self._unseen: dict[str, tuple[str, set[str]]] = {}
        self._await("where", mapping.where)
        for number, plan in enumerate(mapping.events):
            self._await(f"events[{number}].where", plan.where)
        if mapping.truth:
            self._await("verdict.means", {mapping.truth.column: frozenset(mapping.truth.means)})
        self._never = {number: plan.arm for number, plan in enumerate(mapping.events)}
        #: Source and id of an event → which plan made it, of what, in which lines; and what is not the same in all.
        self._told: dict[tuple[str, str], tuple[EventPlan, list[str], list[int]]] = {}
        self._torn: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        #: Record key → what its outcome allows, and the lines.
        self._ends: dict[bytes, tuple[frozenset[str], list[int]]] = {}
        #: Subject → the lines with a customer, and those without one.
        self._customers: defaultdict[str, defaultdict[bool, list[int]]] = defaultdict(lambda: defaultdict(list))
        self._alone = 0
        self.contradicted: set[bytes] = set()

    def _await(self, place: str, where: Where) -> None:
        for column, values in where.items():
            self._unseen[f"{place}.{column}" if place != "verdict.means" else place] = column, {*values} or {_ANYTHING}

    def row(self, row: Row) -> None:
        """A row of the file, whether it counts or not."""
        for place, (column, values) in [*self._unseen.items()]:
            text = row[column]
            values.discard(text)
            if text:
                values.discard(_ANYTHING)
            if not values:
                del self._unseen[place]

    def told_nothing(self, line: int, row: Row) -> None:
        """No event comes of a row that counts."""
        empty = dict.fromkeys(
            fill.column
            for plan in self._mapping.events
            for fill in plan.fills
            if fill.needed and not row[fill.column] and counts(row, plan.where)
        )
        other = dict.fromkeys(column for plan in self._mapping.events for column in plan.where)
        why = f"{_columns(empty)} empty" if empty else f"{_columns(other)} not as any of its events asks"
        self._lines[f"no event comes of it, because {why}"].add(line)

    def event(self, line: int, number: int, plan: EventPlan, row: Row, event: Event) -> None:
        """An event that a row told; `number` counts from 0."""
        self._never.pop(number, None)
        fills = [fill for fill in plan.fills if not fill.is_number]  # the same event may stand at two places of a file
        said, key = [row[fill.column] for fill in fills], (event.source, event.event_id)
        first, before, lines = self._told.setdefault(key, (plan, said, []))
        lines.append(line)
        if first is not plan:
            self._torn[key].add("another kind of event")
        elif before != said:
            pairs = zip(fills, before, said, strict=True)
            self._torn[key] |= {f"column {fill.column}" for fill, one, other in pairs if one != other}
        if any(fill.path == ("customer_id",) for fill in plan.fills):
            self._customers[event.subject_id][bool(event.customer_id)].append(line)
            self._alone += not event.customer_id

    def end(self, line: int, key: bytes, allowed: frozenset[str]) -> None:
        """The known outcome in a row."""
        before, lines = self._ends.setdefault(key, (allowed, []))
        lines.append(line)
        if before != allowed:
            self.contradicted.add(key)

    def problems(self) -> Sequence[tuple[str, Sequence[int]]]:
        """What is wrong with rows, and the lines that they end in."""
        found = defaultdict(set, {problem: {*lines} for problem, lines in self._lines.items()})
        for key, what in self._torn.items():
            problem = f"they tell one event (its id is the same) differently: {_names(sorted(what))}"
            found[problem].update(self._told[key][2])
        for end in self.contradicted:
            found["they give one promise more than one known outcome"].update(self._ends[end][1])
        for with_and_without in self._customers.values():
            if len(with_and_without) > 1:
                found["they name a customer for some events of a subject, and none for others"].update(
                    line for lines in with_and_without.values() for line in lines
                )
        return [(problem, sorted(lines)) for problem, lines in sorted(found.items())]

    def remarks(self) -> Sequence[str]:
        """What no row holds although the mapping names it, and which rows name no customer."""
        file = self._mapping.path
        found = [
            f"{file}: {place}: no row has {_names(map(repr, sorted(values)))} in column {column}"
            for place, (column, values) in self._unseen.items()
        ]
        found += [f"{file}: events[{number}]: no row tells of a {arm}" for number, arm in self._never.items()]
        if self._alone:
            found.append(f"{counted(self._alone, 'event')} without a customer: judged by the subject")
        return found


def counts(row: Row, where: Where) -> bool:
    """Whether a row holds what is asked for."""
    return all(row[column] in values if values else row[column] for column, values in where.items())


def as_lines(problems: Iterable[tuple[str, Sequence[int]]]) -> list[str]:
    """For people: how many rows, what is wrong with them, and where they are."""
    return [
        f"{counted(len(lines), 'row')}: {problem}; {'line' if len(lines) == 1 else 'lines'} "
        + ", ".join(map(str, lines[:_NAMED]))
        + (f" and {len(lines) - _NAMED:,} more" if len(lines) > _NAMED else "")
        for problem, lines in problems
    ]


def as_fields(problems: Iterable[tuple[str, Sequence[int]]]) -> list[dict[str, Any]]:
    """For machines."""
    return [{"problem": problem, "lines": [*lines]} for problem, lines in problems]


def _columns(names: Iterable[str]) -> str:
    listed = [*names]
    return f"column {listed[0]} is" if len(listed) == 1 else f"columns {_names(listed)} are"


def _names(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
