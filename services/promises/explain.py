"""Why a promise's verdict is what it is, in words. Pure."""

from collections.abc import Iterator, Mapping

from services.promises.domain import elsewhere
from services.promises.model import Consent, Cycle, Fact, FactKind, Party, Promise, PromiseKind, Reason, State
from services.promises.words import Told, cycles_of, told
from services.shared.duration import format_duration
from services.shared.explanation import Explanation, Local, Step, distance, judged_elsewhere, local, told_under
from services.shared.facts import time_zone

_SUBJECTS: Mapping[int, str] = {
    PromiseKind.ORDER_READY: "Order {} to be ready",
    PromiseKind.ORDER_DELIVERED: "Order {} to be delivered",
    PromiseKind.CALLBACK: "Callback {}",
    PromiseKind.APPOINTMENT: "Appointment {}",
}
#: The kind of fact that a reason comes from.
_DECIDED_BY: Mapping[int, FactKind] = {
    Reason.FULFILLED: FactKind.FULFILLED,
    Reason.CANCELLED_BY_US: FactKind.CANCELLED,
    Reason.CANCELLED_BY_CUSTOMER: FactKind.CANCELLED,
    Reason.CANCELLED_BY_AGREEMENT: FactKind.CANCELLED,
    Reason.NO_SHOW_BY_US: FactKind.NO_SHOW,
    Reason.CUSTOMER_NO_SHOW: FactKind.NO_SHOW,
    Reason.WAIVED: FactKind.WAIVED,
}
_WHY: Mapping[int, str] = {
    Reason.CANCELLED_BY_US: "The company called it off without the customer's consent, so the word was not kept.",
    Reason.NO_SHOW_BY_US: "The company did not come, so the word was not kept.",
    Reason.CANCELLED_BY_CUSTOMER: "The customer called it off, so it does not count.",
    Reason.CANCELLED_BY_AGREEMENT: "It was called off with the customer's consent, so it does not count.",
    Reason.CUSTOMER_NO_SHOW: "The customer did not come, so it does not count.",
    Reason.WAIVED: "It was waived, so it does not count.",
}
_NOTHING = "changes nothing"
_BY = {Party.UNSPECIFIED: "", Party.CUSTOMER: " by the customer", Party.COMPANY: " by the company"}
_ANSWER = {
    Consent.UNSPECIFIED: "",
    Consent.ACCEPTED: ", the customer accepted",
    Consent.DECLINED: ", the customer declined",
    Consent.SILENT: ", the customer did not answer",
}


def explain(promise: Promise) -> Explanation:
    """The verdict, each fact with what it did, and the arithmetic; times in the customer's zone, else in UTC."""
    clock = local(time_zone(promise.context))
    state = State(promise.state).name.lower().replace("_", " ")
    subject = _SUBJECTS[promise.kind].format(promise.subject_id)
    whom = f" for customer {promise.customer_id}" if promise.customer_id else ""
    if home := elsewhere(promise):
        steps = tuple(_step(fact, clock, "counts there") for fact in promise.facts)
        return Explanation(f"{subject}{whom}: judged as {home}'s", steps, tuple(judged_elsewhere(promise.key, home)))
    return Explanation(f"{subject}{whom}: {state}", tuple(_timeline(promise, clock)), tuple(_reasoning(promise, clock)))


def _timeline(promise: Promise, clock: Local) -> Iterator[Step]:
    cycles = cycles_of(promise)
    decided = set[int]()
    for each in told(promise):
        fact, cycle = each.fact, cycles[each.cycle - 1]
        decides = each.cycle not in decided and _decides(fact, cycle)
        if decides:
            decided.add(each.cycle)
        effect = "decides the verdict" if decides else _effect(each, cycle, clock)
        yield _step(fact, clock, effect)


def _step(fact: Fact, clock: Local, effect: str) -> Step:
    what = f"{_what(fact, clock)}{told_under(fact.customer_id)}"
    return Step(clock.time(fact.occurred_at), what, effect, f"{fact.source}/{fact.event_id}")


def _decides(fact: Fact, cycle: Promise | Cycle) -> bool:
    """Whether it is such a fact that settled a cycle; none is where that is unsettled or time alone did."""
    return fact.kind == _DECIDED_BY.get(cycle.reason) and fact.occurred_at == cycle.settled_at


def _what(fact: Fact, clock: Local) -> str:
    when = f" for {clock.time(fact.due_at)}" if fact.due_at else ""
    if fact.due_day:
        when += f" (as the day {fact.due_day})"
    by, answer = _BY[Party(fact.by)], _ANSWER[Consent(fact.consent)]
    words: Mapping[int, str] = {
        FactKind.PROMISED: f"promised{when}",
        FactKind.RENEGOTIATED: f"new time asked for{by}{when}{answer}",
        FactKind.FULFILLED: "fulfilled",
        FactKind.ATTEMPTED: "something done, but not what was promised",
        FactKind.CANCELLED: f"cancelled{by}{answer}{_because(fact)}",
        FactKind.NO_SHOW: f"no-show{by}",
        FactKind.WAIVED: f"waived{_because(fact)}",
    }
    return words[fact.kind]


def _because(fact: Fact) -> str:
    return f' ("{fact.reason}")' if fact.reason else ""


def _effect(each: Told, cycle: Promise | Cycle, clock: Local) -> str:
    fact, number, before, after, stands = each
    if after != before:
        return "counts: the new due time" if before else f"the word given{' anew' if number > 1 else ''}"
    if not fact.due_at or fact.due_at == before:
        return _NOTHING if stands else f"{_NOTHING}: it was agreed anew"
    if not before:
        return "does not count: nothing was promised before"
    if cycle.reason == Reason.FULFILLED and fact.occurred_at >= cycle.settled_at:
        return "does not count: it was fulfilled before"
    if fact.occurred_at > before:
        return f"does not count: {clock.time(before)} had passed"
    return "does not count: the customer did not accept it"


def _reasoning(promise: Promise, clock: Local) -> Iterator[str]:
    cycles = cycles_of(promise)
    for number, cycle in enumerate(cycles, start=1):
        if len(cycles) > 1:
            yield f"Cycle {number} of {len(cycles)}:"
        if cycle.state == State.NOTED:
            yield "Something is known of it, but nothing was promised yet."
        else:
            yield _word(cycle, clock)
            yield _verdict(cycle, clock)
    yield f"Judged by rules version {promise.rules_version}."


def _word(promise: Promise | Cycle, clock: Local) -> str:
    text = f"Due {clock.time(promise.due_at)}"
    if promise.by_agreement:
        text += f", agreed with the customer; the first word was {clock.time(promise.original_due_at)}"
    if promise.announced_due_at != promise.due_at:
        text += f"; {clock.time(promise.announced_due_at)} was told later, but does not count"
    return f"{text}."


def _verdict(promise: Promise | Cycle, clock: Local) -> str:
    last = clock.time(promise.breach_at)
    waiting = (
        f" ({format_duration(promise.breach_at - promise.due_at)} after due)"
        if promise.breach_at > promise.due_at
        else ""
    )
    if promise.reason == Reason.FULFILLED:
        tolerated = promise.state == State.KEPT and promise.settled_at > promise.due_at
        tail = ", which is tolerated" if tolerated else ""
        return f"Fulfilled {clock.time(promise.settled_at)}: {distance(promise.settled_at, promise.due_at)}{tail}."
    if promise.reason == Reason.DUE_PASSED:
        return f"Nothing had fulfilled it by {last}{waiting}, so it is broken."
    if promise.reason in _WHY:
        return _WHY[promise.reason]
    at_risk = f"At risk since {clock.time(promise.warn_at)}. " if promise.state == State.AT_RISK else ""
    return f"{at_risk}Broken if nothing fulfils it by {last}{waiting}."
