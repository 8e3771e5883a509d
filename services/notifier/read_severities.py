"""Reads from `notifier.yaml` how much things matter."""

from collections.abc import Sequence

from services.notifier.items import Severity
from services.notifier.read_holds import read_match
from services.notifier.routing import CLOSED, SEVERITY_LABELS, SeverityRule
from services.shared.duration import format_duration
from services.shared.fields import Fields
from services.shared.instant import SECOND

_NAMES = {severity.name.lower(): severity for severity in Severity if severity}
#: How late something can be before it matters more; so long an incident keeps what is coming.
_LATEST = 30 * 86_400 * SECOND


def read_severities(sections: Sequence[Fields]) -> tuple[SeverityRule, ...]:
    """The severity rules, in order."""
    rules = tuple(map(_rule, sections))
    for number, (rule, fields) in enumerate(zip(rules, sections, strict=True)):
        above = next((n for n, other in enumerate(rules[:number], start=1) if _covers(other, rule)), 0)
        if rule.late and above:
            fields.problem("late", f"is never reached, as rule {above} matches all that this does; put this above it")
    return rules


def _rule(fields: Fields) -> SeverityRule:
    name = fields.text("severity", one_of=_NAMES)
    match = read_match(fields.section("match"), SEVERITY_LABELS)
    late = fields.span("late", "4h") if "late" in fields else 0
    if late > _LATEST:
        fields.problem("late", f"{format_duration(late)} is too long; write at most 30d")
    if late and "broken" not in match.get("standing", CLOSED["standing"]):
        fields.problem("late", "is only what is broken, which match leaves out; drop late, or match standing: [broken]")
    fields.done()
    return SeverityRule(match, _NAMES.get(name, Severity.WARNING), late)


def _covers(above: SeverityRule, rule: SeverityRule) -> bool:
    """Whether one rule matches all that another does, that asks for lateness."""
    broken = {**rule.match, "standing": frozenset({"broken"})}
    return above.late <= rule.late and all(
        label in broken and broken[label] <= values for label, values in above.match.items()
    )
