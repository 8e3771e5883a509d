"""Where an item belongs."""

import pytest
from hypothesis import given, strategies as st

from services.notifier.items import Details, Severity, Standing
from services.notifier.routing import Match, Place, Route, Routing, SeverityRule, addresses, dispatch, severity_of
from tests.unit.notifier.builders import an_item

WORKSHOP = Details(site="Madrid", team="workshop", customer_tier="gold", reason="cancelled_by_us")
EVERYTHING = Route("everything", {}, ("console",))
HERE = Place("gold", "Madrid", "workshop")


def only(**labels: str) -> Match:
    """A condition on some labels."""
    return {label: frozenset({value}) for label, value in labels.items()}


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
    assert severity_of(an_item(Standing.AT_RISK, details=WORKSHOP), rules) == Severity.INFO
    assert severity_of(an_item(Standing.BROKEN, details=WORKSHOP), rules) == Severity.CRITICAL
    assert severity_of(an_item(Standing.BROKEN), rules) == Severity.WARNING
    assert severity_of(an_item(Standing.FINE, details=WORKSHOP), rules) == Severity.INFO


def test_trouble_goes_to_those_it_concerns() -> None:
    """One receiver group, at the severity that the rules give it."""
    ((to, item),) = dispatch(an_item(details=WORKSHOP), [HERE], Routing((), (EVERYTHING,)))
    assert (to.incident_id, item.severity, item.follow_up) == ("everything", Severity.WARNING, False)


def test_the_end_of_a_worry_follows_every_severity_it_may_have_been_told_at() -> None:
    """The warning went to one group and the alert to another: both hear how it ended."""
    routing = Routing(
        (SeverityRule(only(standing="broken"), Severity.CRITICAL),),
        (Route("pager", only(severity="critical"), ()), EVERYTHING),
    )
    ends = dispatch(an_item(Standing.FULFILLED_LATE, details=WORKSHOP), [HERE], routing)
    assert {(to.route, item.follow_up) for to, item in ends} == {("pager", True), ("everything", True)}


def test_who_was_told_before_a_promise_moved_hears_how_it_goes_on() -> None:
    """The team that has it now is alerted; the one that had it gets a follow-up."""
    routing = Routing((), (Route("ops", {}, (), group_by=("team",)),))
    places = [HERE, Place("gold", "Madrid", "counter")]
    sent = {to.incident_id: item.follow_up for to, item in dispatch(an_item(details=WORKSHOP), places, routing)}
    assert sent == {"ops/team=workshop": False, "ops/team=counter": True}


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
    sent = {to.incident_id: item.follow_up for to, item in dispatch(an_item(details=WORKSHOP), places, routing)}
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
        sent = dispatch(an_item(standing, details=Details(site=place.site, team=place.team)), places[:count], routing)
        taken = [to.route for to, item in sent if not item.follow_up]
        assert [route.proceeds for route in routes if route.name in taken] == [*[True] * (len(taken) - 1), False]
        reached |= {to.incident_id for to, item in sent if not item.follow_up}
        assert reached <= {to.incident_id for to, _ in sent}
    over = dispatch(an_item(Standing.FULFILLED_LATE), places, routing)
    assert reached <= {to.incident_id for to, item in over if item.follow_up}
