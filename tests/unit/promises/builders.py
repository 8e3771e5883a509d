"""Promises and facts for tests, around noon of one day."""

from datetime import timedelta

from services.promises.domain import judge
from services.promises.model import (
    NONE,
    Consent,
    Fact,
    FactKind,
    Identity,
    KindRules,
    Party,
    Promise,
    PromiseKind,
    Rules,
)
from services.shared.facts import NO_CONTEXT, Stated, merge
from services.shared.instant import Instant, micros, parse_instant

NOON = parse_instant("2026-03-02T12:00:00Z")
MINUTE = micros(timedelta(minutes=1))
#: Two minutes of tolerance, three of grace, a warning ten minutes before due.
KIND_RULES = KindRules(tolerance=2 * MINUTE, grace=3 * MINUTE, warning=10 * MINUTE)
RULES = Rules("7", dict.fromkeys(PromiseKind, KIND_RULES))
PROMISE: Identity = (b"ana/order_ready/o1", PromiseKind.ORDER_READY, "ana", "o1")


def at(minutes: float) -> Instant:
    """That many minutes after noon."""
    return Instant(NOON + round(minutes * MINUTE))


def a_fact(  # noqa: PLR0913 - what a fact has
    kind: FactKind,
    minutes: float,
    *,
    due: float | None = None,
    by: Party = Party.UNSPECIFIED,
    consent: Consent = Consent.UNSPECIFIED,
    event_id: str = "",
    source: str = "shop",
    context: Stated = NO_CONTEXT,
    sequence: int = 0,
) -> Fact:
    """A fact of the shop, times in minutes after noon; its id follows from its content where none is given."""
    name = event_id or f"{kind.name}@{minutes}:{due}:{by}:{consent}"
    due_at = NONE if due is None else at(due)
    return Fact(at(minutes), source, name, kind, due_at, "", by, consent, "", context, sequence)


def promised(minutes: float, due: float) -> Fact:
    """A time was told."""
    return a_fact(FactKind.PROMISED, minutes, due=due)


def moved(minutes: float, due: float, consent: Consent = Consent.ACCEPTED, by: Party = Party.COMPANY) -> Fact:
    """Another time was proposed, by the company, and accepted."""
    return a_fact(FactKind.RENEGOTIATED, minutes, due=due, by=by, consent=consent)


def fulfilled(minutes: float) -> Fact:
    """It was done."""
    return a_fact(FactKind.FULFILLED, minutes)


def cancelled(minutes: float, by: Party, consent: Consent = Consent.UNSPECIFIED) -> Fact:
    """It was called off."""
    return a_fact(FactKind.CANCELLED, minutes, by=by, consent=consent)


def no_show(minutes: float, by: Party) -> Fact:
    """Somebody did not come."""
    return a_fact(FactKind.NO_SHOW, minutes, by=by)


def waived(minutes: float) -> Fact:
    """It no longer counts."""
    return a_fact(FactKind.WAIVED, minutes)


def attempted(minutes: float) -> Fact:
    """Something was done, but not enough."""
    return a_fact(FactKind.ATTEMPTED, minutes)


def judged(*facts: Fact, minutes: float = 0, rules: Rules = RULES) -> Promise:
    """The promise with these facts as of that many minutes after noon."""
    return judge(PROMISE, merge((), facts), rules, at(minutes))
