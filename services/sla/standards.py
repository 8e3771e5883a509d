"""Reads `standards.yaml`. Whoever edits it is told which file, which place, what is wrong and how to put it right."""

from collections.abc import Mapping
from pathlib import Path

from services.shared.documents import DocumentError, parse_document, read_text
from services.shared.duration import parse_duration
from services.sla.model import Metric, Standard, Standards

#: The standards that apply where PUNTUAL_STANDARDS names no others.
BUILT_IN = Path(__file__).with_name("standards.yaml")

_METRICS = {metric.name.lower(): metric for metric in Metric}
_DOCUMENT_FIELDS = frozenset({"version", "standards"})
_FIELDS = frozenset({"metric", "name", "limit", "preferred", "warning", "grace"})


def load_standards(file: Path, horizon: int | None = None) -> Standards:
    """The standards in a file. `horizon` in microseconds, as in `Standards`. Raises DocumentError."""
    return parse_standards(read_text(file), str(file), horizon)


def parse_standards(text: str, file: str, horizon: int | None = None) -> Standards:
    """The standards in a YAML text; `file` is for errors only. Raises DocumentError."""
    return _Reader(file).standards(parse_document(text, file).value, horizon)


class _Reader:
    """Turns a document into standards, knowing where it is in which file."""

    def __init__(self, file: str) -> None:
        self._file = file

    def standards(self, document: object, horizon: int | None) -> Standards:
        fields = self._mapping(document, "", _DOCUMENT_FIELDS)
        version = self._text(fields, "version", "")
        items = fields.get("standards")
        if not isinstance(items, list) or not items:
            raise self._error("standards", f"{items!r} is no list of standards", "list at least one")
        metrics: dict[int, Standard] = {}
        for index, item in enumerate(items):
            path = f"standards[{index}]"
            metric, standard = self._standard(item, path)
            if metric in metrics:
                raise self._error(f"{path}.metric", "is already timed above", "keep one of the two")
            metrics[metric] = standard
        return Standards(version, metrics, horizon)

    def _standard(self, item: object, path: str) -> tuple[Metric, Standard]:
        fields = self._mapping(item, path, _FIELDS)
        metric = self._text(fields, "metric", path)
        if metric not in _METRICS:
            raise self._error(f"{path}.metric", f"{metric!r} is no metric", f"write one of {', '.join(_METRICS)}")
        standard = Standard(
            name=self._text(fields, "name", path),
            limit=self._span(fields, "limit", path),
            preferred=self._span(fields, "preferred", path),
            warning=self._span(fields, "warning", path),
            grace=self._span(fields, "grace", path),
        )
        if not standard.limit:
            raise self._error(f"{path}.limit", "is missing", "write a duration, for example 2h")
        for name, span in (("preferred", standard.preferred), ("warning", standard.warning)):
            if span >= standard.limit:
                raise self._error(f"{path}.{name}", f"{fields[name]!r} is not below the limit", "write a shorter one")
        return _METRICS[metric], standard

    def _mapping(self, value: object, path: str, allowed: frozenset[str]) -> Mapping[str, object]:
        if not isinstance(value, dict):
            raise self._error(path, f"{value!r} has no fields", f"write {', '.join(sorted(allowed))}")
        for name in value:
            if name not in allowed:
                where = f"{path}.{name}" if path else str(name)
                raise self._error(where, "is no field", f"write one of {', '.join(sorted(allowed))}")
        return value

    def _text(self, fields: Mapping[str, object], name: str, path: str) -> str:
        value = fields.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()
        where = f"{path}.{name}" if path else name
        if value is None:
            raise self._error(where, "is missing", "add it")
        raise self._error(where, f"{value!r} is no text", f'write it in quotes: {name}: "{value}"')

    def _span(self, fields: Mapping[str, object], name: str, path: str) -> int:
        """A duration in microseconds; 0 where it is absent."""
        value = fields.get(name)
        if value is None:
            return 0
        where = f"{path}.{name}"
        try:
            span = parse_duration(str(value))
        except ValueError as error:
            problem, _, remedy = str(error).partition("; ")
            raise self._error(where, problem, remedy) from error
        if span <= 0:
            raise self._error(where, f"{value!r} is no time at all", "write a duration above zero, or leave it out")
        return span

    def _error(self, path: str, problem: str, remedy: str) -> DocumentError:
        return DocumentError(": ".join(filter(None, (self._file, path, f"{problem}; {remedy}"))))
