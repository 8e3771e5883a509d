"""Whom something would reach is whom it reaches."""

from hypothesis import given, strategies as st

from services.notifier.config import Rules
from services.notifier.holds import Holds
from services.notifier.items import Details, Severity, Standing
from services.notifier.reach import reach
from services.notifier.routing import LABELS, Match, Place, Route, Routing, SeverityRule, dispatch
from services.shared.instant import Instant
from tests.unit.notifier.builders import MINUTE, NOON, an_item

_VALUES = {
    "service": ["promises", "sla"],
    "standing": ["at_risk", "broken"],
    "severity": ["info", "warning", "critical"],
    "tier": ["", "gold"],
    "team": ["", "workshop"],
}
_WORDS = {label: st.sets(st.sampled_from(values), min_size=1).map(frozenset) for label, values in _VALUES.items()}


def _match(*without: str) -> st.SearchStrategy[Match]:
    return st.fixed_dictionaries({}, optional={k: v for k, v in _WORDS.items() if k not in without})


_LATE = st.sampled_from([0, 10 * MINUTE, 60 * MINUTE])
_SEVERITIES = st.lists(st.builds(SeverityRule, _match("severity"), st.sampled_from([*Severity][1:]), _LATE), max_size=4)
_ROUTES = st.lists(
    st.builds(
        Route,
        st.just("some"),
        _match("standing"),
        st.just(("desk",)),
        st.sampled_from([(), ("team",)]),
        st.booleans(),
        escalation=st.just(""),
        proceeds=st.booleans(),
    ),
    max_size=4,
)
_LAST = Route("last", {}, ("desk",), ("tier",))


_PLACES = st.builds(Place, *[st.sampled_from(["", "gold", "workshop"])] * 3)


@given(_SEVERITIES, _ROUTES, st.sampled_from([Standing.AT_RISK, Standing.BROKEN]), _PLACES, _LATE)
def test_it_is_what_the_notifier_does(
    severities: list[SeverityRule], routes: list[Route], standing: Standing, place: Place, late: int
) -> None:
    """The same severity and incidents, by the rules that it names; those it passes over do not match."""
    details = Details(customer_tier=place.tier, site=place.site, team=place.team)
    item = an_item(standing, details=details)
    routing = Routing(tuple(severities), (*routes, _LAST))
    now = Instant(NOON + late)
    found = reach(item, Rules({"desk": "email"}, routing, {}, {}, Holds()), now)
    sent = [(where, told) for where, told in dispatch(item, (), routing, now) if not told.follow_up]
    assert {(taken.incident_id, taken.route.name) for taken in found.routes} == {where for where, _ in sent}
    assert {told.severity for _, told in sent} == {found.severity}
    taken = [each.number for each in found.routes]
    assert [routing.routes[number - 1] for number in taken] == [each.route for each in found.routes]
    assert sorted([*taken, *(miss.number for miss in found.route_misses)]) == [*range(1, max(taken) + 1)]
    for each in found.routes:
        assert bool(each.told) == (standing == Standing.BROKEN or each.route.at_risk)
    item = sent[0][1]
    rules = ([(rule.match, rule.late) for rule in routing.severities], [(route.match, 0) for route in routing.routes])
    for matched, misses in zip(rules, (found.severity_misses, found.route_misses), strict=True):
        for miss in misses:
            match, at_least = matched[miss.number - 1]
            unmet = {label for label, accepted in match.items() if LABELS[label](item) not in accepted}
            unmet |= {"late"} if at_least > (late if standing == Standing.BROKEN else 0) else set()
            assert unmet
            assert {condition.label for condition in miss.unmet} == unmet
    met = [condition for each in found.routes for condition in each.met]
    assert all(each.value in each.accepted for each in (*found.severity_met, *met))
