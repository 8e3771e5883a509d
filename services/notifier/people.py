"""Reads the people of `notifier.yaml`: by which of their targets they are reached for what, and their quiet hours."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from services.notifier.beliefs import EVERY, Contact
from services.notifier.holds import Until
from services.notifier.items import Severity
from services.notifier.read_holds import read_quiet_hours
from services.notifier.routing import CLOSED
from services.shared.fields import Fields


class Person(NamedTuple):
    """Somebody with targets of his own."""

    contact: Contact
    #: Of all his targets: until when they last.
    quiet_hours: Until | None = None


class _Rule(NamedTuple):
    """By what he is called for what; without a known severity where what is written is none."""

    severities: frozenset[int]
    targets: tuple[str, ...]
    fields: Fields


def read_people(fields: Fields, targets: Collection[str], with_hours: Collection[str]) -> Mapping[str, Person]:
    """Person by name. `with_hours`: those of the `targets` that have quiet hours of their own."""
    owners: dict[str, str] = {}
    return {name: _person(name, fields, targets, with_hours, owners) for name in fields.names()}


def quiet_hours(people: Iterable[Person]) -> Mapping[str, Until]:
    """Target → until when those of its person last."""
    return {target: person.quiet_hours for person in people if person.quiet_hours for target in person.contact}


def _person(
    name: str, people: Fields, targets: Collection[str], with_hours: Collection[str], owners: dict[str, str]
) -> Person:
    if name in targets:
        people.problem(name, "is a target's name, too; call one of them differently, the target for example ana-mail")
    fields = people.section(name)
    rules = [_rule(section, targets) for section in fields.sections("contact")]
    contact = _contact(rules, fields)
    for rule in rules:
        for target in rule.targets:
            if (owner := owners.setdefault(target, name)) != name:
                rule.fields.problem(
                    "targets",
                    f"{target} is {owner}'s already, by whose quiet hours and answers it goes; leave it out, and name"
                    f" {target} itself beside the people",
                )
    until = read_quiet_hours(fields.section("quiet_hours")) if "quiet_hours" in fields else None
    if "quiet_hours" in fields:
        for target in sorted(contact.keys() & with_hours):
            fields.problem("quiet_hours", f"are a person's, and {target} has some, too; leave out one of the two")
    fields.done()
    return Person(contact, until)


def _rule(fields: Fields, targets: Collection[str]) -> _Rule:
    known = {name: Severity[name.upper()] for name in CLOSED["severity"]}
    named = frozenset(known[name] for name in fields.texts("severity", (), one_of=known) if name in known)
    rule = _Rule(named if "severity" in fields else EVERY, fields.texts("targets", one_of=targets), fields)
    fields.done()
    return rule


def _contact(rules: Sequence[_Rule], person: Fields) -> Contact:
    """Each severity goes by the first rule that matches."""
    contact: dict[str, frozenset[int]] = {}
    left = EVERY
    for severities, targets, fields in rules:
        taken = left & severities
        if severities and not taken:
            fields.problem("", "is never reached, as rules above match all that it does; move it up, or leave it out")
        for target in targets:
            contact[target] = contact.get(target, frozenset()) | taken
        left -= taken
    if not rules:
        person.problem("contact", "is missing; write for example [{targets: [ana-mail]}]")
    elif left:
        person.problem("contact", "the last rule does not match every severity; add one without severity")
    return {target: severities for target, severities in contact.items() if severities}
