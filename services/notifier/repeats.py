"""How often promises to the same customer were broken of late, on one partition. Pure; it remembers only that."""

from typing import NamedTuple

from services.notifier.items import NONE, Standing
from services.shared.fields import Fields
from services.shared.instant import Instant
from services.shared.keys import customer_of

#: So many broken promises to one customer are remembered, the latest.
MOST = 100
#: So many customers, before those who were not let down of late are looked for.
_FEW = 1_000

_BROKEN = frozenset({Standing.BROKEN, Standing.FULFILLED_LATE})


class Repeated(NamedTuple):
    """When a breach counts as repeated."""

    #: So many, itself included,
    breaches: int
    #: in so many microseconds.
    within: int


class Repeats:
    """The broken promises, clocks included, to the customers of one partition."""

    def __init__(self, rule: Repeated) -> None:
        self._rule = rule
        #: Customer → the hash of what was broken → when it was.
        self._customers: dict[str, dict[int, Instant]] = {}
        self._newest = NONE
        self._room = _FEW

    def note(self, breach: tuple[str, str, int], at: Instant) -> None:
        """Note when something (service, record id, cycle) was broken; NONE: it is not, or not any more."""
        customer = _customer(breach)
        if not customer:
            return
        if at:
            self._customers[customer] = self._recent({**self._customers.get(customer, {}), hash(breach): at})
            self._newest = max(self._newest, at)
            self._make_room()
        elif known := self._customers.get(customer):
            known.pop(hash(breach), None)
            if not known:
                del self._customers[customer]

    def count(self, breach: tuple[str, str, int], at: Instant) -> int:
        """Which breach of its customer something is that was broken then, if it is a repeated one; else 0.

        What came later does not count: whenever it is asked, the answer is the same.
        """
        known = self._customers.get(_customer(breach), {})
        others = (when for other, when in known.items() if other != hash(breach))
        number = 1 + sum(at - self._rule.within <= when <= at for when in others)
        return number if number >= self._rule.breaches else 0

    def _recent(self, known: dict[int, Instant]) -> dict[int, Instant]:
        """What is worth remembering. Twice as long as counts: what is judged late asks for what was before it."""
        horizon = max(known.values()) - 2 * self._rule.within
        kept = sorted((at, breach) for breach, at in known.items() if at >= horizon)[-MOST:]
        return {breach: at for at, breach in kept}

    def _make_room(self) -> None:
        """Forget the customers who were not let down of late."""
        if len(self._customers) > self._room:
            horizon = self._newest - 2 * self._rule.within
            self._customers = {
                customer: known for customer, known in self._customers.items() if max(known.values()) >= horizon
            }
            self._room = max(_FEW, 2 * len(self._customers))


def broken_at(standing: int, since: Instant, due_at: Instant) -> Instant:
    """When something was broken that stands so; NONE: it was not. It does not change when it is fulfilled late."""
    return min(filter(None, (since, due_at)), default=NONE) if standing in _BROKEN else NONE


def read_repeated(document: Fields) -> Repeated | None:
    """The section of `notifier.yaml`; None where there is none, and then no rule may speak of it."""
    if "repeated" not in document:
        for rules, conditions in _SPEAKING:
            for entry in document.sections(rules):
                match = entry.section(conditions)
                if "repeated" in match:
                    match.problem(
                        "repeated",
                        "is said nowhere; add for example repeated: {breaches: 3, within: 30d} to the document",
                    )
        return None
    fields = document.section("repeated")
    rule = Repeated(fields.count("breaches", MOST), fields.span("within", "30d"))
    if rule.breaches == 1 and "breaches" in fields:
        fields.problem("breaches", f"1 would be every breach; write from 2 to {MOST}")
    fields.done()
    return rule


#: Where conditions stand that may speak of it.
_SPEAKING = (("severity", "match"), ("routes", "match"), ("maintenance", "match"), ("inhibit", "quiet"))


def _customer(breach: tuple[str, str, int]) -> str:
    """Whose it is; empty where the events name nobody."""
    try:
        return customer_of(breach[1].encode())
    except ValueError:  # no record's id: whoever reads the record says so
        return ""
