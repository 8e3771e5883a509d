"""Reads the YAML that people edit: rules, standards, mappings, whom to notify.

What cannot be read is refused by its place, never with its content: a secret may stand there, and the library's own
words quote it.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from yaml.composer import Composer
from yaml.reader import ReaderError

from services.shared.errors import PuntualError


class DocumentError(PuntualError):
    """A document that cannot be used: names the file, the place, what is wrong and how to put it right."""


#: Of a document; those that people write have a few thousand.
MAX_BYTES = 256_000
_TOO_LARGE = f"is larger than {MAX_BYTES:,} bytes; make it shorter"
#: Keys, values and lists in a document, which cost the more the shorter they are.
MAX_NODES = 20_000
_TOO_MANY = f"holds more than {MAX_NODES:,} keys and values; make it shorter"
#: Characters of all paths to what stands in a document: short keys, not nested deeply, need a fraction.
_MAX_PATHS = 8 * MAX_BYTES


class Document(NamedTuple):
    """What a document says, and where."""

    value: object
    #: Path ("routes[0].match") → line, from 1.
    lines: Mapping[str, int]


def read_text(file: Path) -> str:
    """The text of a file. Raises DocumentError."""
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise DocumentError(f"{file}: {_TOO_LARGE}")
        return content.decode()
    except OSError as error:
        raise DocumentError(f"{file}: cannot be read: {error.strerror}; name a readable file") from None
    except UnicodeDecodeError as error:
        place = _end_of(error.object[: error.start].decode())
        raise DocumentError(f"{file}: {place}: is not UTF-8; save the file as UTF-8") from None


def parse_document(text: str, file: str, *, as_text: bool = False) -> Document:
    """What a YAML text says; `file` is for errors only. Raises DocumentError.

    Nothing in it stands for something else, so that what is read is as long as what is written.
    `as_text`: numbers, dates, true and false are the text that they are written as.
    """
    if len(text) > MAX_BYTES:
        raise DocumentError(f"{file}: {_TOO_LARGE}")
    try:
        loader = _Words(text) if as_text else _Loader(text)
        node = loader.get_single_node()
        lines = _Lines()
        _note_lines(node, "", lines)
        return Document(loader.construct_document(node) if node else None, lines)
    except _Misfit as misfit:
        problem = f"{_place(misfit.problem_mark)}: {misfit.problem}"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        # The library counts a line more where the text ends too early.
        place = _end_of(text) if mark and mark.line > text.count("\n") else _place(mark)
        problem = f"{place}: is no YAML; look there for a missing quote, bracket or colon, or a tab"
    except (ReaderError, UnicodeEncodeError) as error:
        # One counts bytes, the other characters.
        before = text[: error.start] if isinstance(error, UnicodeEncodeError) else _before(text, error.position)
        problem = f"{_end_of(before)}: is a character that YAML does not allow; remove it"
    except (RecursionError, _TooLong):
        problem = "is nested too deeply; make it flatter"
    raise DocumentError(f"{file}: {problem}")  # not inside `except`, so that the cause is not shown either


class _Misfit(yaml.MarkedYAMLError):
    """YAML that is not accepted here; `problem` holds nothing of it."""

    def __init__(self, problem: str, node: yaml.Node) -> None:
        super().__init__(problem=problem, problem_mark=node.start_mark)


class _Loader(Composer, yaml.CSafeLoader):
    """Reads by libyaml, a few times faster; what it reads is put together here, where it can be refused."""

    def __init__(self, text: str) -> None:
        yaml.CSafeLoader.__init__(self, text)
        Composer.__init__(self)
        self._room = MAX_NODES

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # noqa: ANN401 - as it is
        """Refuse aliases: a few bytes of them can mean any amount."""
        self._room -= 1
        if self._room < 0:
            event: Any = self.peek_event()
            raise _Misfit(_TOO_MANY, yaml.ScalarNode("", "", event.start_mark))
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            alias = yaml.ScalarNode("", "", event.start_mark)
            raise _Misfit("stands for something else (*name); write out what it stands for", alias)
        return super().compose_node(parent, index)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:  # noqa: ANN401 - the stubs are wrong about it
        """Refuse a key that is there twice, and `<<`, which is there to merge in what stands elsewhere."""
        mapping = super().compose_mapping_node(anchor)
        keys: dict[tuple[str, str], yaml.Node] = {}
        for key, _ in mapping.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise _Misfit("merges in what stands elsewhere (<<); write it out", key)
            first = keys.setdefault((key.tag, str(key.value)), key)
            if first is not key:
                line = first.start_mark.line + 1
                raise _Misfit(f"is a key that line {line} gives already; keep one of the two", key)
        return mapping

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401, FBT002 - as it is
        try:
            return super().construct_object(node, deep)
        except (yaml.YAMLError, RecursionError):
            raise
        except Exception:  # noqa: BLE001 - whatever a conversion inside it raises
            raise _Misfit("is no value of its kind; put it in quotes where a text is meant", node) from None


#: What is not text although it has no quotes, as YAML 1.2 has it: NO, on, 10:30 and 007 are text.
_NUMBERS = ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"), ("int", r"[-+]?(?:0|[1-9]\d*)", "-+0123456789"), (
    "float", r"[-+]?(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?", "-+.0123456789",
)  # fmt: skip
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag.rpartition(":")[2] not in {"bool", "int", "float"}]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern, _first in _NUMBERS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), list(_first))


class _Words(_Loader):
    """Everything is text as it is written; nothing at all is None."""


_Words.yaml_implicit_resolvers = {"": [("tag:yaml.org,2002:null", re.compile("$"))]}


class _TooLong(Exception):
    """The paths to what stands there are longer, all together, than a document has reason for."""


class _Lines(dict[str, int]):
    def __init__(self) -> None:
        super().__init__()
        self._room = _MAX_PATHS

    def note(self, path: str, node: yaml.Node) -> None:
        self._room -= len(path)
        if self._room < 0:
            raise _TooLong
        self[path] = node.start_mark.line + 1


def _note_lines(node: yaml.Node | None, path: str, lines: _Lines) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            place = f"{path}.{key.value}" if path else str(key.value)
            lines.note(place, key)
            _note_lines(value, place, lines)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            lines.note(f"{path}[{number}]", item)
            _note_lines(item, f"{path}[{number}]", lines)


def _place(mark: yaml.Mark | None) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else "all of it"


def _before(text: str, position: int) -> str:
    return text.encode()[:position].decode(errors="ignore")


def _end_of(text: str) -> str:
    return f"line {text.count(chr(10)) + 1}, column {len(text) - text.rfind(chr(10))}"
