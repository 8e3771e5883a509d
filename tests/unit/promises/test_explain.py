"""Promises explained: the timeline, what each fact did, and why the verdict is what it is."""

from services.promises import domain
from services.promises.explain import explain
from services.promises.model import Consent, Fact, FactKind, KindRules, Party, Promise, PromiseKind, Rules
from services.shared.facts import Context, merge
from services.shared.instant import SECOND, Instant, parse_instant

MINUTE = 60 * SECOND
RULES = Rules("7", {PromiseKind.ORDER_READY: KindRules(tolerance=2 * MINUTE, grace=5 * MINUTE, warning=30 * MINUTE)})
DUE = parse_instant("2026-11-26T16:00:00Z")
MADRID = Context(customer_time_zone="Europe/Madrid")
PROMISED = Fact(parse_instant("2026-11-26T09:00:00Z"), "shop", "1", FactKind.PROMISED, DUE, context=MADRID)


def fact(kind: FactKind, minutes: int, **fields: object) -> Fact:
    """Something that happened so many minutes after due."""
    return Fact(Instant(DUE + minutes * MINUTE), "shop", f"{kind.name}{minutes}", kind, **fields)  # type: ignore[arg-type]


def promise(*facts: Fact, now: int = 0) -> Promise:
    """The verdict on the promise and what else happened, so many minutes after due."""
    key = b"c7/order_ready/o1"
    everything = merge((), (PROMISED, *facts))
    return domain.judge((key, PromiseKind.ORDER_READY, "c7", "o1"), everything, RULES, Instant(DUE + now * MINUTE))


def effects(*facts: Fact, now: int = 0) -> list[str]:
    """What each fact did."""
    return [step.effect for step in explain(promise(*facts, now=now)).timeline]


def verdict(*facts: Fact, now: int = 0) -> str:
    """The sentence that gives the reason."""
    return explain(promise(*facts, now=now)).reasoning[1]


def test_a_late_fulfilment_is_explained_in_the_customers_time() -> None:
    """Headline, both facts with what they did, the arithmetic, and the rules that judged it."""
    told = explain(promise(fact(FactKind.FULFILLED, 125)))
    assert told.headline == "Order o1 to be ready for customer c7: kept late"
    first, second = told.timeline
    assert first == (
        "2026-11-26 10:00:00 CET", "promised for 2026-11-26 17:00:00 CET", "the word given", "shop/1"
    )  # fmt: skip
    assert second[1:3] == ("fulfilled", "decides the verdict")
    assert told.reasoning == (
        "Due 2026-11-26 17:00:00 CET.",
        "Fulfilled 2026-11-26 19:05:00 CET: 2 h 05 min late.",
        "Judged by rules version 7.",
    )


def test_fulfilments_say_how_early_or_how_much_was_tolerated() -> None:
    """Early, and late within the tolerance; a second one changes nothing."""
    assert verdict(fact(FactKind.FULFILLED, -10)).endswith(": 10 min early.")
    assert verdict(fact(FactKind.FULFILLED, 1)).endswith(": 1 min late, which is tolerated.")
    assert effects(fact(FactKind.FULFILLED, -10), fact(FactKind.FULFILLED, -5))[1:] == [
        "decides the verdict",
        "changes nothing",
    ]


def test_open_promises_say_what_will_break_them() -> None:
    """With the grace that is given, and since when they are at risk."""
    assert verdict(now=-60) == "Broken if nothing fulfils it by 2026-11-26 17:05:00 CET (5 min after due)."
    assert verdict(now=-1).startswith("At risk since 2026-11-26 16:30:00 CET. Broken if nothing")
    assert verdict(now=6) == ("Nothing had fulfilled it by 2026-11-26 17:05:00 CET (5 min after due), so it is broken.")


def test_a_new_time_counts_or_not_and_says_why() -> None:
    """Accepted in time, not accepted, too late, and the same again."""
    later = Instant(DUE + 60 * MINUTE)
    moved = {"due_at": later, "by": Party.COMPANY}
    asked = fact(FactKind.RENEGOTIATED, -60, **moved, consent=Consent.ACCEPTED)
    assert effects(asked)[1] == "counts: the new due time"
    assert effects(fact(FactKind.RENEGOTIATED, -60, **moved, consent=Consent.SILENT))[1] == (
        "does not count: the customer did not accept it"
    )
    assert effects(fact(FactKind.RENEGOTIATED, 60, **moved, consent=Consent.ACCEPTED))[1] == (
        "does not count: 2026-11-26 17:00:00 CET had passed"
    )
    assert effects(asked, fact(FactKind.RENEGOTIATED, -30, **moved, consent=Consent.ACCEPTED))[2] == "changes nothing"
    told = explain(promise(asked))
    assert (
        told.timeline[1].what == "new time asked for by the company for 2026-11-26 18:00:00 CET, the customer accepted"
    )
    assert told.reasoning[0] == (
        "Due 2026-11-26 18:00:00 CET, agreed with the customer; the first word was 2026-11-26 17:00:00 CET."
    )
    silent = explain(promise(fact(FactKind.RENEGOTIATED, -60, **moved, consent=Consent.SILENT)))
    assert silent.reasoning[0] == (
        "Due 2026-11-26 17:00:00 CET; 2026-11-26 18:00:00 CET was told later, but does not count."
    )


def test_endings_say_who_ended_it() -> None:
    """Called off by either side, a no-show, a waiver with its reason."""
    cancelled = fact(FactKind.CANCELLED, -60, by=Party.COMPANY, consent=Consent.DECLINED, reason="no stock")
    told = explain(promise(cancelled))
    assert told.timeline[1].what == 'cancelled by the company, the customer declined ("no stock")'
    assert told.timeline[1].effect == "decides the verdict"
    assert told.reasoning[1] == "The company called it off without the customer's consent, so the word was not kept."
    assert (
        verdict(fact(FactKind.CANCELLED, -60, by=Party.CUSTOMER)) == "The customer called it off, so it does not count."
    )
    assert verdict(fact(FactKind.NO_SHOW, 1, by=Party.CUSTOMER)) == "The customer did not come, so it does not count."
    assert verdict(fact(FactKind.WAIVED, 1, reason="storm")) == "It was waived, so it does not count."


def test_what_was_never_promised_says_so() -> None:
    """A fulfilment without a promise; no zone means UTC."""
    identity = (b"~o1/order_ready/o1", int(PromiseKind.ORDER_READY), "", "o1")
    told = explain(domain.judge(identity, (fact(FactKind.FULFILLED, 0),), RULES, DUE))
    assert told.headline == "Order o1 to be ready: noted"
    assert told.timeline[0].at == "2026-11-26 16:00:00 UTC"
    assert told.reasoning[0] == "Something is known of it, but nothing was promised yet."
