"""Why a promise's verdict is what it is, in words. Pure."""

from collections.abc import Mapping

from services.promises.domain import judge
from services.promises.model import (
    Consent,
    Fact,
    FactKind,
    KindRules,
    Party,
    Promise,
    PromiseKind,
    Reason,
    Rules,
    State,
)
from services.shared.duration import format_duration
from services.shared.explanation import Explanation, Local, Step, distance, local
from services.shared.facts import time_zone
from services.shared.instant import Instant

_LONG_AGO = Instant(-(2**62))

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
    decisive = _decisive(promise)
    steps = (
        Step(
            clock.time(fact.occurred_at),
            _what(fact, clock),
            _effect(promise, number, decisive, clock),
            f"{fact.source}/{fact.event_id}",
        )
        for number, fact in enumerate(promise.facts)
    )
    return Explanation(f"{subject}{whom}: {state}", tuple(steps), _reasoning(promise, clock))


def _decisive(promise: Promise) -> Fact | None:
    """The fact that settled it; None where it is unsettled or time alone did."""
    kind = _DECIDED_BY.get(promise.reason)
    return next((fact for fact in promise.facts if fact.kind == kind and fact.occurred_at == promise.settled_at), None)


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


def _effect(promise: Promise, number: int, decisive: Fact | None, clock: Local) -> str:
    fact = promise.facts[number]
    if fact is decisive:
        return "decides the verdict"
    before, after = _due_after(promise, number), _due_after(promise, number + 1)
    if after != before:
        return "counts: the new due time" if before else "the word given"
    if not fact.due_at or fact.due_at == before:
        return "changes nothing"
    if before and fact.occurred_at > before:
        return f"does not count: {clock.time(before)} had passed"
    return "does not count: the customer did not accept it" if before else "does not count: nothing was promised before"


def _due_after(promise: Promise, count: int) -> Instant:
    """The due time in force after the first `count` facts. It does not depend on tolerances or the present."""
    return judge(
        (promise.key, promise.kind, promise.customer_id, promise.subject_id),
        promise.facts[:count],
        Rules("", {promise.kind: KindRules()}),
        _LONG_AGO,
    ).due_at


def _reasoning(promise: Promise, clock: Local) -> tuple[str, ...]:
    if promise.state == State.NOTED:
        lines = ["Something is known of it, but nothing was promised yet."]
    else:
        lines = [_word(promise, clock), _verdict(promise, clock)]
    return (*lines, f"Judged by rules version {promise.rules_version}.")


def _word(promise: Promise, clock: Local) -> str:
    text = f"Due {clock.time(promise.due_at)}"
    if promise.by_agreement:
        text += f", agreed with the customer; the first word was {clock.time(promise.original_due_at)}"
    if promise.announced_due_at != promise.due_at:
        text += f"; {clock.time(promise.announced_due_at)} was told later, but does not count"
    return f"{text}."


def _verdict(promise: Promise, clock: Local) -> str:
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
