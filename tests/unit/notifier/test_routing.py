"""Where an item belongs."""

from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from services.notifier.items import NONE, Details, Item, Rise, Severity, Standing, slim
from services.notifier.routing import (
    LABELS,
    Address,
    Match,
    Place,
    Route,
    Routing,
    SeverityRule,
    addresses,
    dispatch,
    lateness,
    reach,
    rises,
    severity_of,
)
from services.shared.instant import Instant
from tests.unit.notifier.builders import MINUTE, NOON, an_item, at

WORKSHOP = Details(site="Madrid", team="workshop", customer_tier="gold", reason="cancelled_by_us")
EVERYTHING = Route("everything", {}, ("console",))
HERE = Place("gold", "Madrid", "workshop")


def only(**labels: str) -> Match:
    """A condition on some labels."""
    return {label: frozenset({value}) for label, value in labels.items()}


def dispatched_to(item: Item, places: Sequence[Place], routing: Routing, now: Instant) -> list[tuple[Address, Item]]:
    """Of an item that may have been told of wherever these places lead."""
    return dispatch(item, reach(item, places, routing), routing, now)


@pytest.mark.parametrize(
    ("match", "takes"),
    [
        (only(), True),
        (only(service="promises"), True),
        (only(service="sla"), False),
        (only(kind="order_ready", team="workshop"), True),
        (only(kind="order_ready", team="counter"), False),
        (only(severity="critical", site="Madrid", tier="gold"), True),
        ({"team": frozenset({"counter", "workshop"})}, True),
    ],
)
def test_a_route_takes_what_meets_every_condition(match: Match, takes: bool) -> None:
    """Several values of a label are alternatives, several labels must all hold."""
    item = an_item(details=WORKSHOP)
    (to,) = addresses(item, [Route("first", match, ()), EVERYTHING])
    assert (to.route == "first") == takes


def test_the_receiver_group_is_the_route_with_its_labels() -> None:
    """Labels an item does not have are left out, and their values cannot be taken for syntax."""
    route = Route("ops", {}, (), group_by=("customer", "kind", "site", "team"))
    item = an_item(details=Details(team="a/b,c=d"))
    assert addresses(item, [route]) == [("ops/customer=C-7,kind=order_ready,team=a%2Fb%2Cc%3Dd", "ops")]
    assert addresses(item, [EVERYTHING]) == [("everything", "everything")]


def test_the_first_severity_rule_that_matches_decides() -> None:
    """Without a match it is a warning, and what is no trouble is for information."""
    rules = [
        SeverityRule(only(standing="at_risk"), Severity.INFO),
        SeverityRule(only(reason="cancelled_by_us"), Severity.CRITICAL),
    ]
    assert severity_of(an_item(Standing.AT_RISK, details=WORKSHOP), rules, NOON) == Severity.INFO
    assert severity_of(an_item(Standing.BROKEN, details=WORKSHOP), rules, NOON) == Severity.CRITICAL
    assert severity_of(an_item(Standing.BROKEN), rules, NOON) == Severity.WARNING
    assert severity_of(an_item(Standing.FINE, details=WORKSHOP), rules, NOON) == Severity.INFO


def test_trouble_goes_to_those_it_concerns() -> None:
    """One receiver group, at the severity that the rules give it."""
    ((to, item),) = dispatched_to(an_item(details=WORKSHOP), [HERE], Routing((), (EVERYTHING,)), NOON)
    assert (to.incident_id, item.severity, item.follow_up) == ("everything", Severity.WARNING, False)


def test_the_end_of_a_worry_follows_every_severity_it_may_have_been_told_at() -> None:
    """The warning went to one group and the alert to another: both hear how it ended."""
    routing = Routing(
        (SeverityRule(only(standing="broken"), Severity.CRITICAL),),
        (Route("pager", only(severity="critical"), ()), EVERYTHING),
    )
    ends = dispatched_to(an_item(Standing.FULFILLED_LATE, details=WORKSHOP), [HERE], routing, NOON)
    assert {(to.route, item.follow_up) for to, item in ends} == {("pager", True), ("everything", True)}


@pytest.mark.parametrize(("breaches", "label"), [(None, ""), (0, "no"), (3, "yes")])
def test_what_is_not_known_is_neither_repeated_nor_not(breaches: int | None, label: str) -> None:
    """Where nobody counts, and once the details are dropped, no condition on it is met."""
    item = an_item(details=WORKSHOP._replace(breaches=breaches))
    routes = [*(Route(value, only(repeated=value), ()) for value in ("yes", "no")), EVERYTHING]
    assert LABELS["repeated"](item) == label
    assert [to.route for to in addresses(item, routes)] == [label or "everything"]
    assert LABELS["repeated"](slim(item)) == ""


def test_the_end_of_a_worry_follows_what_was_repeated_and_what_was_not() -> None:
    """Nobody keeps a list of who was told: both hear how it ended, and those of either severity."""
    routing = Routing(
        (SeverityRule(only(repeated="yes"), Severity.CRITICAL),),
        (
            Route("pager", {**only(repeated="yes"), **only(severity="critical")}, ()),
            Route("other", only(repeated="no"), ()),
            EVERYTHING,
        ),
    )
    details = WORKSHOP._replace(breaches=3)
    ((first, item), *_) = dispatched_to(an_item(details=details), [HERE], routing, NOON)
    assert (first.route, item.severity, item.follow_up) == ("pager", Severity.CRITICAL, False)
    ends = dispatched_to(an_item(Standing.FINE, details=details._replace(breaches=0)), [HERE], routing, NOON)
    assert {(to.route, item.follow_up) for to, item in ends} == {("pager", True), ("other", True), ("everything", True)}


def test_who_was_told_before_a_promise_moved_hears_how_it_goes_on() -> None:
    """The team that has it now is alerted; the one that had it gets a follow-up."""
    routing = Routing((), (Route("ops", {}, (), group_by=("team",)),))
    places = [HERE, Place("gold", "Madrid", "counter")]
    sent = {
        to.incident_id: item.follow_up for to, item in dispatched_to(an_item(details=WORKSHOP), places, routing, NOON)
    }
    assert sent == {"ops/team=workshop": False, "ops/team=counter": True}


LATE = 240 * MINUTE
#: A broken promise is a warning, and critical once it is four hours late.
IN_TIME = (
    SeverityRule(only(service="promises"), Severity.CRITICAL, LATE),
    SeverityRule(only(service="promises"), Severity.WARNING),
)
CRITICAL_AT = Rise(at(240), Severity.CRITICAL)


def test_a_late_rule_matches_only_what_is_broken_and_that_late() -> None:
    """From the time it is due, to the microsecond; what is at risk, or was never due, is not late."""
    broken = an_item()
    assert [severity_of(broken, IN_TIME, at(minutes)) for minutes in (-9, 1, 239.999, 240, 500)] == [
        Severity.WARNING,
        Severity.WARNING,
        Severity.WARNING,
        Severity.CRITICAL,
        Severity.CRITICAL,
    ]
    assert severity_of(an_item(Standing.AT_RISK), IN_TIME, at(500)) == Severity.WARNING
    assert severity_of(broken._replace(due_at=NONE), IN_TIME, at(500)) == Severity.WARNING
    assert [lateness(broken, at(minutes)) for minutes in (-9, 3)] == [0, 3 * MINUTE]


def test_what_stays_broken_rises_whenever_a_rule_says_so() -> None:
    """In order, only upwards, and only what is yet to come."""
    rules = (
        SeverityRule(only(), Severity.INFO, 3 * LATE),
        SeverityRule(only(), Severity.CRITICAL, 2 * LATE),
        SeverityRule(only(), Severity.WARNING, LATE),
        SeverityRule(only(service="sla"), Severity.CRITICAL, MINUTE),
        SeverityRule(only(), Severity.INFO),
    )
    both = [Rise(at(240), Severity.WARNING), Rise(at(480), Severity.CRITICAL)]
    assert list(rises(an_item(), rules, at(1))) == both
    assert list(rises(an_item(), rules, at(240))) == both[1:]
    assert list(rises(an_item(), rules, at(480))) == []
    assert list(rises(an_item(), rules[1:], at(480))) == []
    assert list(rises(an_item(Standing.AT_RISK), rules, at(1))) == []
    assert list(rises(an_item(Standing.FULFILLED_LATE), rules, at(1))) == []
    assert list(rises(an_item()._replace(due_at=NONE), rules, at(1))) == []


def test_who_is_told_already_is_sent_when_it_will_matter_more() -> None:
    """Where the same receiver group has to know then."""
    ((to, item),) = dispatched_to(an_item(), [Place()], Routing(IN_TIME, (EVERYTHING,)), at(1))
    assert (to.route, item.severity, item.follow_up, item.rises) == (
        "everything",
        Severity.WARNING,
        False,
        (CRITICAL_AT,),
    )


def test_who_will_have_to_know_is_sent_it_too() -> None:
    """As something to come; it stays with those who know. Once it has come, they hear of it as it is."""
    pager = Route("pager", only(severity="critical"), ())
    routing = Routing(IN_TIME, (pager, EVERYTHING))

    def sent(minutes: float, standing: Standing = Standing.BROKEN) -> dict[str, tuple[bool, tuple[Rise, ...]]]:
        dispatched = dispatched_to(an_item(standing), [Place()], routing, at(minutes))
        return {to.route: (item.follow_up, item.rises) for to, item in dispatched}

    assert sent(1) == {"everything": (False, ()), "pager": (True, (CRITICAL_AT,))}
    assert sent(240) == {"everything": (True, ()), "pager": (False, ())}
    assert sent(1, Standing.FULFILLED_LATE) == {"everything": (True, ()), "pager": (True, ())}


def test_what_a_route_takes_that_proceeds_goes_on_to_the_later_ones() -> None:
    """Up to the first that matches and does not proceed; those that do not match are passed over."""
    routes = (
        Route("log", {}, (), proceeds=True),
        Route("counter", only(team="counter"), (), proceeds=True),
        Route("workshop", only(team="workshop"), ()),
        EVERYTHING,
    )
    assert [to.route for to in addresses(an_item(details=WORKSHOP), routes)] == ["log", "workshop"]
    assert [to.route for to in addresses(an_item(), routes)] == ["log", "everything"]


def test_everybody_who_was_told_hears_how_it_ends() -> None:
    """On all routes that took it where it was, and on all that take it where it is."""
    routing = Routing((), (Route("log", {}, (), ("team",), proceeds=True), EVERYTHING))
    places = [HERE, Place("gold", "Madrid", "counter")]
    sent = {
        to.incident_id: item.follow_up for to, item in dispatched_to(an_item(details=WORKSHOP), places, routing, NOON)
    }
    assert sent == {"log/team=workshop": False, "everything": False, "log/team=counter": True}


TEAMS, SITES = ("", "workshop", "counter"), ("", "Madrid")
MATCHES = st.fixed_dictionaries(
    {},
    optional={
        "team": st.sets(st.sampled_from(TEAMS), min_size=1).map(frozenset),
        "site": st.sets(st.sampled_from(SITES), min_size=1).map(frozenset),
        "severity": st.sets(st.sampled_from(["info", "warning", "critical"]), min_size=1).map(frozenset),
    },
)
DRAWN = st.tuples(MATCHES, st.sampled_from([(), ("team",), ("kind", "site")]), st.booleans())
ROUTES = st.lists(DRAWN, max_size=5).map(
    lambda drawn: [
        *(Route(f"r{number}", match, (), by, proceeds=on) for number, (match, by, on) in enumerate(drawn)),
        EVERYTHING,
    ]
)
PLACES = st.builds(Place, st.just(""), st.sampled_from(SITES), st.sampled_from(TEAMS))
PASTS = st.lists(st.tuples(PLACES, st.sampled_from([Standing.AT_RISK, Standing.BROKEN])), min_size=1, max_size=4)


@given(ROUTES, PASTS)
def test_an_item_reaches_somebody_and_each_whom_it_reached_before_hears_of_it_again(
    routes: list[Route], past: list[tuple[Place, Standing]]
) -> None:
    """Wherever it went and however grave it was: the follow-ups are a superset of all earlier addresses."""
    routing = Routing((SeverityRule(only(standing="broken"), Severity.CRITICAL),), tuple(routes))
    places = [place for place, _ in past]
    reached: set[str] = set()
    for count, (place, standing) in enumerate(past, start=1):
        item = an_item(standing, details=Details(site=place.site, team=place.team))
        sent = dispatched_to(item, places[:count], routing, NOON)
        taken = [to.route for to, item in sent if not item.follow_up]
        assert [route.proceeds for route in routes if route.name in taken] == [*[True] * (len(taken) - 1), False]
        reached |= {to.incident_id for to, item in sent if not item.follow_up}
        assert reached <= {to.incident_id for to, _ in sent}
    over = dispatched_to(an_item(Standing.FULFILLED_LATE), places, routing, NOON)
    assert reached <= {to.incident_id for to, item in over if item.follow_up}
