"""Where an item belongs."""

import pytest

from services.notifier.items import Details, Severity, Standing, slim
from services.notifier.routing import (
    LABELS,
    Match,
    Place,
    Route,
    Routing,
    SeverityRule,
    address,
    dispatch,
    severity_of,
)
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
    assert (address(item, [Route("first", match, ()), EVERYTHING]).route == "first") == takes


def test_the_receiver_group_is_the_route_with_its_labels() -> None:
    """Labels an item does not have are left out, and their values cannot be taken for syntax."""
    route = Route("ops", {}, (), group_by=("customer", "kind", "site", "team"))
    item = an_item(details=Details(team="a/b,c=d"))
    assert address(item, [route]).incident_id == "ops/customer=C-7,kind=order_ready,team=a%2Fb%2Cc%3Dd"
    assert address(item, [EVERYTHING]).incident_id == "everything"


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


@pytest.mark.parametrize(("breaches", "label"), [(None, ""), (0, "no"), (3, "yes")])
def test_what_is_not_known_is_neither_repeated_nor_not(breaches: int | None, label: str) -> None:
    """Where nobody counts, and once the details are dropped, no condition on it is met."""
    item = an_item(details=WORKSHOP._replace(breaches=breaches))
    routes = [*(Route(value, only(repeated=value), ()) for value in ("yes", "no")), EVERYTHING]
    assert LABELS["repeated"](item) == label
    assert address(item, routes).route == (label or "everything")
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
    ((first, item), *_) = dispatch(an_item(details=details), [HERE], routing)
    assert (first.route, item.severity, item.follow_up) == ("pager", Severity.CRITICAL, False)
    ends = dispatch(an_item(Standing.FINE, details=details._replace(breaches=0)), [HERE], routing)
    assert {(to.route, item.follow_up) for to, item in ends} == {("pager", True), ("other", True), ("everything", True)}


def test_who_was_told_before_a_promise_moved_hears_how_it_goes_on() -> None:
    """The team that has it now is alerted; the one that had it gets a follow-up."""
    routing = Routing((), (Route("ops", {}, (), group_by=("team",)),))
    places = [HERE, Place("gold", "Madrid", "counter")]
    sent = {to.incident_id: item.follow_up for to, item in dispatch(an_item(details=WORKSHOP), places, routing)}
    assert sent == {"ops/team=workshop": False, "ops/team=counter": True}
