"""What holds news back, until when, and that nothing is held back for ever."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from services.notifier.holds import (
    LONGEST,
    Held,
    Holds,
    Inhibition,
    Once,
    Reason,
    Silence,
    Until,
    Weekly,
    Window,
    conditions,
    is_endless,
    too_long,
    too_wide,
)
from services.notifier.items import NONE, Details, Item, Severity, Standing, identity
from services.notifier.on_call import read_hours
from services.notifier.routing import CLOSED, LABELS, Match, Route, addresses
from services.shared.fields import Fields
from services.shared.instant import Instant, parse_instant
from services.shared.working_time import WorkingTime
from tests.unit.notifier.builders import DETAILS, MINUTE, at

HERE = "shop/site=Madrid"
MADRID = DETAILS._replace(site="Madrid", team="counter", customer_tier="gold")
DAY = 1440 * MINUTE


def match(**labels: str) -> Match:
    """One value a label, or several with spaces between."""
    return {label: frozenset(values.split()) for label, values in labels.items()}


def an_item(
    kind: str = "order_ready",
    subject: str = "A-1",
    *,
    severity: Severity = Severity.WARNING,
    standing: Standing = Standing.BROKEN,
    details: Details | None = MADRID,
) -> Item:
    return Item(
        service="promises",
        record_id=f"C-7/{kind}/{subject}",
        kind=kind,
        standing=standing,
        due_at=at(0),
        since=at(0),
        offset=1,
        announced_at=at(0),
        severity=severity,
        details=details,
    )


def hours(text: str, zone: str = "Europe/Madrid") -> WorkingTime:
    """As notifier.yaml has them: "{sun: ...}"."""
    fields, problems = Fields.of(text, "hours")
    read = read_hours(fields, ZoneInfo(zone))
    problems.check()
    return read


def silence(number: int, start: float, end: float, **labels: str) -> Silence:
    return Silence(f"s{number}", match(**labels), at(start), at(end))


def held(holds: Holds, minutes: float, *others: Item, item: Item | None = None, target: str = "mail") -> Held | None:
    """What holds an item back at a minute, by default an order in Madrid."""
    item = item or an_item()
    return holds.scene(HERE, [item, *others], at(minutes)).held(item, target)


def silenced(*silences: Silence, now: float = 0) -> Holds:
    holds = Holds()
    holds.follow(silences, at(now))
    return holds


def test_a_silence_holds_back_what_matches_while_it_lasts() -> None:
    """From its beginning, inclusive, to its end, exclusive; every target, and what is critical, too."""
    holds = silenced(silence(1, 10, 20, site="Madrid Torino", kind="order_ready"))
    there = Held(Reason.SILENCED, at(20), "s1")
    assert [held(holds, minute) for minute in (9.9, 10, 19.9, 20)] == [None, there, there, None]
    critical = an_item(severity=Severity.CRITICAL)
    assert held(holds, 15, item=critical, target="pager") == there
    assert held(holds, 15, item=an_item("callback")) is None
    assert held(holds, 15, item=an_item(details=MADRID._replace(site="Roma"))) is None


def test_a_silence_can_spare_what_is_repeated() -> None:
    """What nobody counted, or knows any more, is neither: people are rather told than not."""
    holds = silenced(silence(1, 0, 20, repeated="no"))
    items = [an_item(details=MADRID._replace(breaches=breaches)) for breaches in (0, 3, None)]
    assert [bool(held(holds, 1, item=item)) for item in (*items, an_item(details=None))] == [True, False, False, False]
    with pytest.raises(ValueError, match="'maybe' is no repeated; write one of no, yes"):
        conditions([("repeated", "maybe")])


def test_silences_come_and_go_while_it_runs() -> None:
    """Each change says when it was, for whoever decided before; those that are over are not kept."""
    holds = silenced(silence(1, 0, 20, site="Madrid"), silence(2, 0, 5, site="Madrid"), now=10)
    assert ([each.silence_id for each in holds.silences], holds.since) == (["s1"], at(10))
    assert held(holds, 11)
    holds.follow([], at(12))
    assert (held(holds, 13), holds.since) == (None, at(12))


def test_of_several_what_lasts_longest_is_told() -> None:
    """Not before its end anything can be told."""
    holds = Holds([Window("w", match(site="Madrid"), Once(at(0), at(30)))], quiet_hours={"mail": Once(at(0), at(40))})
    holds.follow([silence(1, 0, 20, site="Madrid")], at(0))
    assert held(holds, 1) == Held(Reason.QUIET_HOURS, at(40))
    assert held(holds, 1, target="hook") == Held(Reason.MAINTENANCE, at(30), "w")


def test_quiet_hours_let_through_what_is_critical() -> None:
    """They are one target's."""
    holds = Holds(quiet_hours={"mail": Weekly(hours('{mon-sun: "22:00-07:00"}'))})
    night = (parse_instant("2026-11-26T23:00:00+01:00") - at(0)) / MINUTE
    morning = parse_instant("2026-11-27T07:00:00+01:00")
    assert held(holds, night) == Held(Reason.QUIET_HOURS, morning)
    assert held(holds, night, item=an_item(severity=Severity.CRITICAL)) is None
    assert held(holds, night, target="hook") is None


@pytest.mark.parametrize(
    ("hour", "now", "until"),
    [
        # In autumn the night has an hour more, in spring one less.
        ('{mon-sun: "22:00-07:00"}', "2026-10-24T22:00:00+02:00", "2026-10-25T07:00:00+01:00"),
        ('{mon-sun: "22:00-07:00"}', "2026-03-28T22:00:00+01:00", "2026-03-29T07:00:00+02:00"),
        ('{mon-sun: "22:00-07:00"}', "2026-03-28T21:59:59+01:00", None),
        # Of a time that is there twice the window has both.
        ('{sun: "02:00-03:00"}', "2026-10-25T02:00:00+02:00", "2026-10-25T03:00:00+01:00"),
        ('{sun: "02:30-02:45"}', "2026-10-25T02:44:00+01:00", "2026-10-25T02:45:00+01:00"),
        # One that is skipped altogether does not take place; what is left of another does.
        ('{sun: "02:00-03:00"}', "2026-03-29T03:00:00+02:00", None),
        ('{sun: "02:00-05:00"}', "2026-03-29T03:00:00+02:00", "2026-03-29T05:00:00+02:00"),
        # Hours that touch at midnight are one time.
        ('{fri: "22:00-24:00", sat: "00:00-24:00", sun: "00:00-06:00"}', "2026-11-27T23:00:00+01:00",
         "2026-11-29T06:00:00+01:00"),
    ],
)  # fmt: skip
def test_weekly_hours_are_by_the_clocks_on_the_wall(hour: str, now: str, until: str | None) -> None:
    """Summer and winter, and in the nights between."""
    assert Weekly(hours(hour))(parse_instant(now)) == (parse_instant(until) if until else None)


def test_hours_of_all_the_week_have_no_end() -> None:
    """However they are written."""
    for text in ('{mon-sun: "00:00-24:00"}', '{mon-sun: "09:00-09:00"}', '{mon-sun: "07:00-22:00, 22:00-07:00"}'):
        assert is_endless(hours(text)), text
    assert not is_endless(hours('{mon-sat: "00:00-24:00", sun: "00:01-24:00"}'))


# --- inhibition

FOLLOWS = Inhibition(match(kind="order_ready"), match(kind="callback"), ("customer",))


def test_what_follows_from_other_trouble_waits_for_it_to_end() -> None:
    """No end of that is known; and it must be about the same."""
    cause, follows = an_item(), an_item("callback")
    holds = Holds(inhibitions=[FOLLOWS])
    assert held(holds, 0, cause, item=follows) == Held(Reason.INHIBITED, None)
    assert held(holds, 0, follows, item=cause) is None
    for other in (
        cause._replace(record_id="C-8/order_ready/A-1"),
        cause._replace(standing=Standing.FULFILLED_LATE),
        cause._replace(follow_up=True),
    ):
        assert held(holds, 0, other, item=follows) is None


def test_what_was_told_holds_back_by_the_labels_of_its_incident() -> None:
    """Its details are dropped by then; what is not known of both holds nothing back."""
    cause, follows = an_item(details=None), an_item("callback")
    by_site, by_team = (FOLLOWS._replace(equal=(label,)) for label in ("site", "team"))
    assert held(Holds(inhibitions=[by_site]), 0, cause, item=follows)
    assert held(Holds(inhibitions=[by_team]), 0, cause, item=follows) is None
    assert held(Holds(inhibitions=[by_team]), 0, cause, item=follows._replace(details=None)) is None


def test_a_silence_knows_where_an_item_belongs_by_its_incident() -> None:
    """As the id of the incident says it, whatever characters are in it."""
    place = MADRID._replace(site="Plaça d'Espanya, 1/2=b", team="ñ")
    route = Route("shop", {}, ("mail",), ("kind", "site", "team"))
    ((incident_id, _),) = addresses(an_item(details=place), [route])
    holds = silenced(Silence("s", {"site": frozenset({place.site}), "team": frozenset({"ñ"})}, at(0), at(9)))
    bare = an_item(details=None)
    assert holds.scene(incident_id, [bare], at(1)).held(bare, "mail")
    assert holds.scene("shop", [bare], at(1)).held(bare, "mail") is None


KINDS = ("order_ready", "callback", "appointment")
kinds = st.lists(st.sampled_from(KINDS), min_size=1, max_size=2).map(lambda kinds: match(kind=" ".join(kinds)))
inhibitions = st.lists(
    st.builds(Inhibition, kinds, kinds, st.sampled_from([(), ("customer",), ("site",), ("kind",)])), max_size=4
)
items = st.lists(
    st.builds(
        an_item,
        st.sampled_from(KINDS),
        st.sampled_from(["A-1", "B-1", "C-1"]),
        standing=st.sampled_from([Standing.BROKEN, Standing.AT_RISK]),
    ),
    min_size=1,
    max_size=6,
    unique_by=identity,
)


@given(items, inhibitions)
def test_things_never_hold_each_other_back(items: Sequence[Item], rules: Sequence[Inhibition]) -> None:
    """However the rules are written, of what is in trouble something is told, and all is once that is over."""
    holds, left = Holds(inhibitions=rules), list(items)
    while left:
        scene = holds.scene(HERE, left, at(0))
        waiting = [item for item in left if scene.held(item, "mail")]
        assert len(waiting) < len(left)
        left = waiting


# --- all of them

spans = st.tuples(st.integers(0, 300), st.integers(1, 300)).map(lambda span: (at(span[0]), at(sum(span))))
labels = st.sampled_from([match(site="Madrid"), match(site="Torino"), match(kind="order_ready", severity="warning")])
silences = st.lists(st.builds(lambda span, labels: Silence("s", labels, *span), spans, labels), max_size=4)
untils: st.SearchStrategy[Until] = st.one_of(
    spans.map(lambda span: Once(*span)),
    st.sampled_from(['{mon-sun: "13:00-15:30"}', '{thu: "00:00-24:00"}', '{mon-sun: "12:01-12:00"}'])
    .map(hours)
    .map(Weekly),
)
windows = st.lists(st.builds(Window, st.just("w"), labels, untils), max_size=3)
quiet_hours = st.dictionaries(st.sampled_from(["mail", "hook"]), untils)
severities = st.sampled_from([Severity.INFO, Severity.WARNING, Severity.CRITICAL])


@given(silences, windows, quiet_hours, severities, st.integers(0, 600))
def test_what_is_held_back_stays_so_until_it_says_and_not_for_ever(
    silences: Sequence[Silence], windows: Sequence[Window], quiet: dict[str, Until], severity: Severity, minutes: int
) -> None:
    """Asked in between it is still held back; asked at each end anew it is told after a while, and at once if none."""
    holds, item = Holds(windows, quiet_hours=quiet), an_item(severity=severity)
    holds.follow(silences, at(0))
    now, asked = at(minutes), 0
    while found := holds.scene(HERE, [item], now).held(item, "mail"):
        assert found.until
        assert found.until > now
        for between in (now + 1, (now + found.until) // 2, found.until - 1):
            assert between >= found.until or holds.scene(HERE, [item], Instant(between)).held(item, "mail")
        now, asked = found.until, asked + 1
        assert asked <= 50
    applies = [each for each in silences if LABELS["site"](item) in each.match.get("site", {"Madrid"})]
    assert severity != Severity.WARNING or not any(each.starts_at <= now < each.ends_at for each in applies)


# --- what is refused


@pytest.mark.parametrize(
    "everything",
    [{}, match(service="promises sla sources"), match(severity="info warning critical", standing="broken at_risk")],
)
def test_what_would_hold_back_everything_is_refused(everything: Match) -> None:
    """Also where it seems to say something."""
    assert "nobody would be told" in too_wide(everything)
    assert not too_wide({**everything, **match(site="Madrid")})


@pytest.mark.parametrize("label", CLOSED)
def test_one_value_of_several_is_a_condition(label: str) -> None:
    """It leaves the others."""
    assert not too_wide({label: frozenset([min(CLOSED[label])])})


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (NONE, "is missing, so that it would never end; write when it ends"),
        (at(10), "2026-11-26T12:10:00Z is not after it begins, 2026-11-26T12:10:00Z; write when it ends"),
        (at(9), "2026-11-26T12:09:00Z is not after it begins"),
        (Instant(at(10) + LONGEST + 1), "is more than 30 days after it begins; end it earlier"),
        (Instant(at(10) + LONGEST), ""),
    ],
)
def test_a_time_that_is_none_or_too_long_is_refused(end: Instant, said: str) -> None:
    """With what to do about it."""
    assert too_long(at(10), end).startswith(said)
    assert bool(too_long(at(10), end)) == bool(said)


def test_conditions_are_read_label_by_label() -> None:
    """Several values of one label are alternatives."""
    pairs = [("site", "Madrid"), ("site", "Torino"), ("standing", "broken")]
    assert conditions(pairs) == match(site="Madrid Torino", standing="broken")
    for pair, said in (
        (("color", "red"), "'color' is no label; write one of customer, kind"),
        (("site", ""), "site has no value; write for example site=Madrid"),
        (("severity", "grave"), "'grave' is no severity; write one of critical, info, warning"),
    ):
        with pytest.raises(ValueError, match=said):
            conditions([pair])
