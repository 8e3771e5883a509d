"""Reads a document field by field and collects every problem with it: line, place, value and remedy."""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence, Set as AbstractSet
from datetime import date, datetime, time, tzinfo
from pathlib import Path

from services.shared.documents import DocumentError, parse_document
from services.shared.duration import parse_duration
from services.shared.instant import Instant, from_datetime

#: Characters of a value in a message, and how many of those allowed.
_SHOWN, _LISTED = 80, 30
#: How many problems are said at once.
_MOST_PROBLEMS = 100
#: Characters of one problem.
_MOST_SAID = 1_000


def shown(value: object) -> str:
    """A value as a message shows it: all of it where it is short."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


class Secret:
    """A reference to a secret: "env:NAME" or "file:/path". The value is read when used, so a file can be replaced."""

    def __init__(self, reference: str) -> None:
        self._source, _, self._name = reference.partition(":")
        if self._source not in {"env", "file"} or not self._name:
            # Whatever was written may be the secret itself: never repeat it.
            raise ValueError("is no reference to a secret; write env:NAME or file:/path")

    def reveal(self) -> str:
        """The secret. Raises ValueError where it cannot be had, without saying more than where it should be."""
        if self._source == "file":
            try:
                value = Path(self._name).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ValueError(f"names the file {self._name}, which cannot be read; put the secret there") from error
        else:
            value = os.environ.get(self._name, "")
        if not value:
            raise ValueError(f"is empty; set {self._name}")
        return value


class Problems:
    """What is wrong with a document, to be said all at once."""

    def __init__(self, file: str, lines: Mapping[str, int] | None = None) -> None:
        self._file = file
        self._lines = lines or {}
        self._found: list[tuple[int, str]] = []

    def add(self, path: str, what: str) -> None:
        """Something is wrong at a place: what, and after a semicolon how to put it right."""
        if len(what) > _MOST_SAID:  # some of it is the document's
            what = f"{what[: _MOST_SAID // 2]} … {what[-_MOST_SAID // 2 :]}"
        line = self._line(path)
        place = [self._file, f"line {line}" if line else "", path or "the document", what]
        self._found.append((line, ": ".join(filter(None, place))))

    def check(self) -> None:
        """Raises DocumentError with all that was found, one on each line, in the order of the document."""
        if self._found:
            found = sorted(dict.fromkeys(self._found), key=lambda found: found[0])  # what is read twice is said once
            more = [f"{self._file}: and {len(found) - _MOST_PROBLEMS} more"] if len(found) > _MOST_PROBLEMS else []
            raise DocumentError("\n".join([*(said for _, said in found[:_MOST_PROBLEMS]), *more]))

    def _line(self, path: str) -> int:
        """Where it stands, or what it is missing from does; 0: everywhere."""
        while path and path not in self._lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self._lines.get(path, 0)


class Fields:
    """One mapping of the document. Where a field is wrong it notes the problem and returns something harmless."""

    def __init__(self, value: object, path: str, problems: Problems) -> None:
        self.path = path
        self._problems = problems
        self._asked: set[str] = set()
        self._fields: Mapping[str, object] = {}
        if isinstance(value, Mapping):
            self._fields = {str(name): field for name, field in value.items()}
        elif value is not None:
            problems.add(path, f"{shown(value)} has no fields; write name: value pairs")

    @classmethod
    def of(cls, text: str, file: str, *, as_text: bool = False) -> tuple["Fields", Problems]:
        """A YAML text; `file` is for errors only. Raises DocumentError where it cannot be read at all.

        `as_text`: as in `parse_document`.
        """
        document = parse_document(text, file, as_text=as_text)
        problems = Problems(file, document.lines)
        return cls(document.value, "", problems), problems

    def __contains__(self, name: str) -> bool:
        self._asked.add(name)
        return self._fields.get(name) is not None

    def names(self) -> list[str]:
        """The names of all fields, where they are free to choose. They all count as known."""
        self._asked.update(self._fields)
        return list(self._fields)

    def problem(self, name: str, what: str) -> None:
        """Note a problem with a field: `what` says what is wrong, and after a semicolon how to put it right."""
        self._problems.add(self._where(name), what)

    def text(self, name: str, default: str | None = None, one_of: Iterable[str] = ()) -> str:
        """A text. Without a default it is required; `one_of` lists the values allowed, if not all are."""
        value, allowed = self._value(name), _known(one_of)
        if value is None and default is not None:
            return default
        if value is None:
            self.problem(name, f"is missing; write {_either(sorted(allowed)) if allowed else 'it'}")
        elif not isinstance(value, str) or not value.strip():
            self.problem(name, f"{shown(value)} is no text; write it in quotes")
        elif allowed and value not in allowed:
            self.problem(name, f"{shown(value)} is unknown; write {_either(sorted(allowed))}")
        else:
            return value.strip()
        return default or ""

    def texts(self, name: str, default: Sequence[str] | None = None, one_of: Iterable[str] = ()) -> tuple[str, ...]:
        """A list of texts, at least one. Without a default it is required."""
        value = self._value(name)
        if value is None and default is not None:
            return tuple(default)
        allowed = _known(one_of)
        if isinstance(value, list) and "yes" in allowed:
            value = ["yes" if text is True else "no" if text is False else text for text in value]
        example = value if isinstance(value, str) and value else min(allowed) if allowed else "..."
        if not isinstance(value, list) or not value or not all(isinstance(text, str) and text for text in value):
            self.problem(name, f"{shown(value)} is no list of texts; write for example [{example}]")
            return tuple(default or ())
        for text in value:
            if allowed and text not in allowed:
                self.problem(name, f"{shown(text)} is unknown; write {_either(sorted(allowed))}")
        return tuple(value)

    def choices(self, name: str, one_of: Iterable[str] = ()) -> tuple[str, ...]:
        """A text, or a list of texts; the empty one, too."""
        value = self._value(name)
        texts = value if isinstance(value, list) else [value]
        allowed = _known(one_of)
        if not texts or not all(isinstance(text, str) for text in texts):
            self.problem(name, f"{shown(value)} is no text and no list of texts; write it in quotes")
            return ()
        for text in texts:
            if allowed and text and text not in allowed:
                self.problem(name, f"{shown(text)} is unknown; write {_either(sorted(allowed))}")
        return tuple(texts)

    def flag(self, name: str) -> bool:
        """True or false; false where absent."""
        value = self._value(name)
        if isinstance(value, str):
            value = _SWITCHES.get(value.lower(), value)
        if not isinstance(value, bool | None):
            self.problem(name, f"{shown(value)} is neither true nor false; write one of them")
        return value is True

    def port(self, name: str, default: int) -> int:
        """A TCP port."""
        value = self._value(name)
        if value is None:
            return default
        if not isinstance(value, int) or not 0 < value < 65_536:  # noqa: PLR2004 - the ports there are
            self.problem(name, f"{shown(value)} is no port; write a number from 1 to 65535")
            return default
        return value

    def count(self, name: str, most: int) -> int:
        """A whole number from 1 to `most`; 1 where it is none."""
        value = self._value(name)
        if type(value) is not int or not 0 < value <= most:
            what = "is missing" if value is None else f"{shown(value)} is no such number"
            self.problem(name, f"{what}; write one from 1 to {most}")
            return 1
        return value

    def numbers(self, name: str) -> tuple[int, ...]:
        """A list of whole numbers; empty where absent."""
        value = self._value(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not value or not all(type(number) is int for number in value):
            self.problem(name, f"{shown(value)} is no list of numbers; write for example [200, 202]")
            return ()
        return tuple(value)

    def anything(self, name: str) -> object:
        """Whatever stands there, for whoever reads more than one kind of value; None where absent."""
        return self._value(name)

    def span(self, name: str, default: str) -> int:
        """A duration in microseconds, above zero unless the default is not."""
        value = self._value(name)
        try:
            span = parse_duration(str(default if value is None else value))
        except ValueError as error:
            self.problem(name, str(error))
            return 0
        if span <= 0 < parse_duration(default):
            self.problem(name, f"{shown(value)} is no time at all; write for example {default}")
        return span

    def instant(self, name: str, zone: tzinfo | None = None) -> Instant | None:
        """A point in time; None where absent. `zone`: of a time that comes without one; it may then be a date, too."""
        value = self._value(name)
        if value is None:
            return None
        try:
            moment = value if isinstance(value, date) else datetime.fromisoformat(str(value))
            if not isinstance(moment, datetime):
                moment = datetime.combine(moment, time())
            return from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=zone))
        except ValueError:
            said = value.isoformat() if isinstance(value, date) else shown(value)
            example = "2026-12-01T18:00" if zone else "with its zone, for example 2026-12-01T00:00:00+01:00"
            self.problem(name, f"{said} is no instant; write {example}")
            return None

    def day(self, name: str) -> date | None:
        """A date; None where absent."""
        value = self._value(name)
        if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
            return value
        try:
            return date.fromisoformat(str(value))
        except ValueError:
            self.problem(name, f"{shown(value)} is no date; write for example 2026-12-01")
            return None

    def secret(self, name: str) -> Secret | None:
        """A reference to a secret that can be had now; None where absent."""
        if name not in self:
            return None
        try:
            secret = Secret(str(self._value(name)))
            secret.reveal()
        except ValueError as error:
            self.problem(name, str(error))
            return None
        return secret

    def section(self, name: str) -> "Fields":
        """The mapping in a field; empty where absent."""
        return Fields(self._value(name), self._where(name), self._problems)

    def sections(self, name: str) -> list["Fields"]:
        """The mappings in a list; none where absent."""
        value = self._value(name)
        if value is not None and not isinstance(value, list):
            self.problem(name, f"{shown(value)} is no list; begin each entry with a dash")
            return []
        return [Fields(entry, f"{self._where(name)}[{i}]", self._problems) for i, entry in enumerate(value or [])]

    def done(self) -> None:
        """Complain about the fields that nobody asked for."""
        for name in sorted(self._fields.keys() - self._asked):
            self.problem(name, f"is no field; write {_either(sorted(self._asked))}")

    def _value(self, name: str) -> object:
        self._asked.add(name)
        return self._fields.get(name)

    def _where(self, name: str) -> str:
        return ".".join(filter(None, (self.path, name)))


#: Other words for true and false that people write.
_SWITCHES = {"yes": True, "on": True, "no": False, "off": False}


def _known(one_of: Iterable[str]) -> Collection[str]:
    """To look things up in: it is asked for every field that names one."""
    return one_of if isinstance(one_of, Mapping | AbstractSet) else frozenset(one_of)


def _either(allowed: Sequence[str]) -> str:
    if len(allowed) > _LISTED:
        allowed = [*allowed[:_LISTED], "…"]
    return " or ".join(allowed) if len(allowed) < 3 else f"one of {', '.join(allowed)}"  # noqa: PLR2004 - "a or b"
