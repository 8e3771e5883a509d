"""Whom something would reach is whom it reaches."""

from hypothesis import given, strategies as st

from services.notifier.config import Rules
from services.notifier.items import Details, Severity, Standing
from services.notifier.reach import reach
from services.notifier.routing import LABELS, Match, Place, Route, Routing, SeverityRule, dispatch
from tests.unit.notifier.builders import NOON, an_item

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


_SEVERITIES = st.lists(st.builds(SeverityRule, _match("severity"), st.sampled_from([*Severity][1:])), max_size=4)
_ROUTES = st.lists(
    st.builds(
        Route,
        st.just("some"),
        _match("standing"),
        st.just(("desk",)),
        st.sampled_from([(), ("team",)]),
        st.booleans(),
        proceeds=st.just(False),
    ),
    max_size=4,
)
_LAST = Route("last", {}, ("desk",), ("tier",))


_PLACES = st.builds(Place, *[st.sampled_from(["", "gold", "workshop"])] * 3)


@given(_SEVERITIES, _ROUTES, st.sampled_from([Standing.AT_RISK, Standing.BROKEN]), _PLACES)
def test_it_is_what_the_notifier_does(
    severities: list[SeverityRule], routes: list[Route], standing: Standing, place: Place
) -> None:
    """The same severity and incident, by the rule that it names, which is the first that matches."""
    details = Details(customer_tier=place.tier, site=place.site, team=place.team)
    item = an_item(standing, details=details)
    routing = Routing(tuple(severities), (*routes, _LAST))
    found = reach(item, Rules({"desk": "email"}, routing, {}, {}), NOON)
    ((where, told),) = [(where, told) for where, told in dispatch(item, [place], routing) if not told.follow_up]
    assert (found.incident_id, found.route.name, found.severity) == (where.incident_id, where.route, told.severity)
    assert routing.routes[found.route_number - 1] is found.route
    assert bool(found.told) == (standing == Standing.BROKEN or found.route.at_risk)
    for matched, misses in (
        ([rule.match for rule in routing.severities], found.severity_misses),
        ([route.match for route in routing.routes], found.route_misses),
    ):
        for match, miss in zip(matched, misses, strict=False):
            unmet = {label for label, accepted in match.items() if LABELS[label](told) not in accepted}
            assert unmet
            assert {each.label for each in miss.unmet} == unmet
    assert all(each.value in each.accepted for each in (*found.severity_met, *found.route_met))
