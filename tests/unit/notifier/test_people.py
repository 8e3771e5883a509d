"""People with contact rules of their own: what `notifier.yaml` may say of them, and by which target who hears what."""

import re
from pathlib import Path

import pytest

from services.notifier.beliefs import Receivers, Step
from services.notifier.config import Config, load_rules, load_schedules, parse
from services.notifier.coverage import refresh
from services.notifier.domain import due, fold
from services.notifier.incident import Incident, ItemSeen, Plan
from services.notifier.items import Rise, Severity, Standing
from services.notifier.outbox import UNSETTLED, Accepted, DeliverySettled, Kind
from services.notifier.responses import Action
from services.shared.documents import DocumentError
from services.shared.instant import parse_instant
from tests.unit.notifier.builders import INCIDENT, MAIL, MINUTE, PERSONAL, an_item, at, on_call, see
from tests.unit.notifier.test_responses import Story

BROKEN, AT_RISK, LATE = Standing.BROKEN, Standing.AT_RISK, Standing.FULFILLED_LATE
WARNING, CRITICAL = Severity.WARNING, Severity.CRITICAL


def plan_of(receivers: Receivers) -> Plan:
    """One route."""
    return MAIL._replace(routes={"ops": receivers})


DIRECT = plan_of(PERSONAL._replace(people=("ana",), at_risk=True))
#: Ana for five minutes, then Bob, then Carla, who is a target.
ROTATED = plan_of(PERSONAL._replace(on_call={"on-call:rota": on_call}))


def an_order(standing: Standing, minute: int, severity: Severity = CRITICAL, *, subject: str = "A-1") -> ItemSeen:
    """That it stands so, and matters so much."""
    return ItemSeen("ops", an_item(standing, minute, severity=severity, subject=subject), at(minute))


def tell(story: Story, *facts: ItemSeen) -> list[tuple[float, str, str]]:
    """What is said once these facts are known."""
    for fact in facts:
        story.waits_quietly((fact.heard_at - at(0)) / MINUTE)
        story.hears(fact)
    said, story.log = sorted(story.log), []
    return said


# --- who hears what


def test_the_first_rule_that_matches_decides_by_what_somebody_is_called() -> None:
    """What is critical by phone and mail, a warning by mail; each hears the end of what it was told."""
    assert tell(Story(DIRECT), an_order(BROKEN, 1, CRITICAL), an_order(LATE, 2, Severity.INFO)) == [
        (1, "ana-mail", "breach"),
        (1, "ana-phone", "breach"),
        (2, "ana-mail", "resolved"),
        (2, "ana-phone", "resolved"),
    ]
    assert tell(Story(DIRECT), an_order(BROKEN, 1, WARNING), an_order(LATE, 2, Severity.INFO)) == [
        (1, "ana-mail", "breach"),
        (2, "ana-mail", "resolved"),
    ]


def test_what_matters_more_than_it_did_is_new_to_those_called_then_only() -> None:
    """Nobody hears twice of one breach."""
    story = Story(DIRECT)
    assert tell(story, an_order(BROKEN, 1, WARNING), an_order(BROKEN, 2, CRITICAL)) == [
        (1, "ana-mail", "breach"),
        (2, "ana-phone", "breach"),
    ]
    assert tell(story, an_order(BROKEN, 3, WARNING), an_order(BROKEN, 4, CRITICAL)) == []


def test_what_matters_less_than_it_did_calls_nobody_who_is_not_called_for_it() -> None:
    """The phone that rang for a risk does not ring for a breach that is less; it hears that all is over."""
    story = Story(DIRECT)
    assert tell(story, an_order(AT_RISK, 1, CRITICAL), an_order(BROKEN, 2, WARNING)) == [
        (1, "ana-mail", "at_risk"),
        (1, "ana-phone", "at_risk"),
        (2, "ana-mail", "breach"),
    ]
    assert tell(story, an_order(LATE, 3, Severity.INFO)) == [(3, "ana-mail", "resolved"), (3, "ana-phone", "resolved")]


def test_who_is_named_beside_a_person_hears_everything() -> None:
    """A target of a person, too, where the route names it itself."""
    both = plan_of(PERSONAL._replace(targets={"ana-phone": "sms"}, people=("ana",)))
    assert tell(Story(both), an_order(BROKEN, 1, WARNING)) == [(1, "ana-mail", "breach"), (1, "ana-phone", "breach")]


def test_a_step_tells_and_reminds_all_targets_that_are_called() -> None:
    """Whatever they were told before: of the critical order both, of the other one only one."""
    steps = (Step(10 * MINUTE, people=("ana",)), Step(10 * MINUTE, people=("ana",)))
    story = Story(plan_of(PERSONAL._replace(targets={"mail": "email"}, steps=steps)))
    story.waits_quietly(1).hears(an_order(BROKEN, 1, CRITICAL), an_order(BROKEN, 1, WARNING, subject="B-1"))
    assert story.waits(30) == [
        (1, "mail", "breach"),
        (11, "ana-mail", "escalation"),
        (11, "ana-phone", "escalation"),
        (21, "ana-mail", "reminder"),
        (21, "ana-phone", "reminder"),
    ]
    assert story.incident
    counts = {(d.target, d.kind): d.item_count for d in story.incident.deliveries}
    assert (counts["ana-phone", Kind.REMINDER], counts["ana-mail", Kind.REMINDER]) == (1, 2)


def test_a_step_that_names_a_schedule_reminds_all_targets_of_who_is_on_call() -> None:
    """Of whom it is known what he was told."""
    steps = (Step(2 * MINUTE, {}, {"on-call:rota": on_call}),)
    story = Story(plan_of(PERSONAL._replace(on_call={"on-call:rota": on_call}, steps=steps)))
    assert tell(story, an_order(BROKEN, 1)) == [(1, "ana-mail", "breach"), (1, "ana-phone", "breach")]
    assert story.waits(30) == [(3, "ana-mail", "reminder"), (3, "ana-phone", "reminder")]


@pytest.mark.parametrize("by", ["ana", "ana-phone", "ana-mail"])
def test_nobody_is_told_by_any_of_his_targets_what_he_did_himself(by: str) -> None:
    """In his own name, or in that of a target; who was told besides hears it once, and what another does he hears."""
    plan = plan_of(PERSONAL._replace(targets={"mail": "email"}, people=("ana",), attention=60 * MINUTE))
    story = Story(plan)
    tell(story, an_order(BROKEN, 1))
    assert story.answers(Action.ACKNOWLEDGE, by, 2).waits(3) == [(2, "mail", "acknowledged")]
    assert story.answers(Action.TAKE_OVER, "ana", 4).waits(5) == []
    assert story.answers(Action.TAKE_OVER, "mail", 6).waits(7) == [
        (6, "ana-mail", "acknowledged"),
        (6, "ana-phone", "acknowledged"),
    ]


def test_a_route_that_names_nobody_but_a_person_tells_him() -> None:
    """By his channels."""
    document = DOCUMENT.partition("schedules:")[0] + "routes: [{name: all, targets: [ana]}]"
    incident = fold("all", None, [ItemSeen("all", an_item(BROKEN), at(1))], parse(document, "-").plan)
    assert incident
    assert [(d.target, d.channel) for d in incident.deliveries] == [("ana-phone", "console"), ("ana-mail", "console")]


# --- hand-overs


def test_who_comes_on_call_next_hears_only_what_the_schedule_does_not_know() -> None:
    """From a person to a person and on to a target; who was told hears the end."""
    story = Story(ROTATED)
    assert tell(story, an_order(BROKEN, 1)) == [(1, "ana-mail", "breach"), (1, "ana-phone", "breach")]
    assert tell(story, an_order(BROKEN, 6, WARNING, subject="B-1")) == [(6, "bob-mail", "breach")]
    assert tell(story, an_order(BROKEN, 11, subject="C-1")) == [(11, "carla", "breach")]
    assert tell(story, an_order(LATE, 16)) == [(16, "ana-mail", "resolved"), (16, "ana-phone", "resolved")]
    assert tell(story, an_order(LATE, 17, subject="B-1")) == [(17, "bob-mail", "resolved")]


def test_what_matters_more_after_a_hand_over_calls_who_is_on_call_then() -> None:
    """Ana was written to; that it is critical now rings Bob's phone. While she is on call it would ring hers."""
    story = Story(ROTATED)
    assert tell(story, an_order(BROKEN, 1, WARNING)) == [(1, "ana-mail", "breach")]
    assert tell(story, an_order(BROKEN, 6, CRITICAL)) == [(6, "bob-mail", "breach"), (6, "bob-phone", "breach")]
    assert tell(story, an_order(BROKEN, 11, WARNING), an_order(BROKEN, 12, WARNING, subject="B-1")) == [
        (12, "carla", "breach")
    ]
    story = Story(ROTATED)
    tell(story, an_order(BROKEN, 1, WARNING))
    assert tell(story, an_order(BROKEN, 2, CRITICAL)) == [(2, "ana-phone", "breach")]
    assert tell(story, an_order(BROKEN, 6, CRITICAL, subject="B-1")) == [
        (6, "bob-mail", "breach"),
        (6, "bob-phone", "breach"),
    ]


def test_what_comes_to_matter_more_after_a_hand_over_calls_who_is_on_call_then() -> None:
    """By the clock alone; Ana, who was written to of less, is told again."""
    story = Story(ROTATED)
    warning = an_order(BROKEN, 1, WARNING)
    rising = warning._replace(item=warning.item._replace(rises=(Rise(at(7), CRITICAL),)))
    assert tell(story, rising) == [(1, "ana-mail", "breach")]
    assert [heard for heard in story.waits(8) if heard[1].startswith("bob")] == [
        (7, "bob-mail", "breach"),
        (7, "bob-phone", "breach"),
    ]


def half_told() -> Incident:
    """Ana's phone is still being rung for A-1 when B-1 breaks, which only her mail hears of."""
    incident = sent(see(None, an_order(BROKEN, 1), plan=ROTATED), 1)
    incident = see(incident, *ended(incident, "ana-mail", 1), plan=ROTATED)
    incident = sent(see(incident, an_order(BROKEN, 2, subject="B-1"), plan=ROTATED), 2)
    return see(incident, *ended(incident, "ana-mail", 2), plan=ROTATED)


def sent(incident: Incident, minute: float) -> Incident:
    """With an attempt at all that waits."""
    after = due(incident, at(minute), ROTATED)
    assert after
    return after


def ended(incident: Incident, target: str, minute: float) -> list[DeliverySettled]:
    """What is under way to a target was accepted."""
    under_way = [d for d in incident.deliveries if d.target == target and d.state in UNSETTLED]
    return [DeliverySettled(at(minute), delivery.delivery_id, Accepted()) for delivery in under_way]


def waiting(incident: Incident | None) -> list[tuple[str, list[str]]]:
    """Target → orders of what is on its way."""
    assert incident
    deliveries = [d for d in incident.deliveries if d.state in UNSETTLED]
    return sorted((d.target, [item.record_id.rpartition("/")[2] for item in d.items]) for d in deliveries)


def test_a_target_that_is_busy_hears_what_the_others_of_its_person_heard_before() -> None:
    """That the schedule is half told silences nobody."""
    incident = half_told()
    assert waiting(incident) == [("ana-phone", ["A-1"])]
    assert waiting(see(incident, *ended(incident, "ana-phone", 3), plan=ROTATED)) == [("ana-phone", ["B-1"])]


def test_what_was_told_by_halves_the_next_one_on_call_hears_and_nothing_else() -> None:
    """B-1 rang nobody's phone yet; A-1 is on its way to Ana's."""
    incident = fold(INCIDENT, half_told(), [an_order(BROKEN, 6, subject="C-1")], ROTATED)
    assert waiting(incident) == [
        ("ana-phone", ["A-1"]),
        ("bob-mail", ["B-1", "C-1"]),
        ("bob-phone", ["B-1", "C-1"]),
    ]
    # Ana, back on call, has not missed it: somebody was called.
    assert incident
    for target in ("ana-phone", "bob-mail", "bob-phone"):
        incident = see(incident, *ended(incident, target, 16), plan=ROTATED)
    assert waiting(incident) == []


# --- the document

DOCUMENT = """
targets:
  desk: {channel: console}
  ana-phone: {channel: console}
  ana-mail: {channel: console}
  bob-mail: {channel: console, quiet_hours: {zone: UTC, hours: {sat-sun: "00:00-24:00"}}}
people:
  ana:
    contact:
      - {severity: [critical], targets: [ana-phone, ana-mail]}
      - {targets: [ana-mail]}
    quiet_hours: {zone: Europe/Madrid, hours: {mon-sun: "22:00-07:00"}}
  bob: {contact: [{targets: [bob-mail]}]}
schedules:
  nights:
    zone: Europe/Madrid
    fallback: bob
    layers: [{rotation: [ana, bob, desk], from: 2026-12-07, at: "09:00", hours: {mon-fri: "18:00-08:00"}}]
    overrides: [{from: 2026-12-24T18:00, to: 2026-12-25T09:00, who: ana}]
escalations:
  up: {steps: [{after: 10min, targets: [bob, "on-call:nights", desk]}]}
routes:
  - {name: all, targets: [ana, desk, "on-call:nights"], escalation: up}
"""


@pytest.fixture
def config() -> Config:
    """The document, read."""
    return parse(DOCUMENT, "notifier.yaml")


def test_people_are_read_as_they_are_meant(config: Config) -> None:
    """Wherever a target can be named; each severity goes by the first rule that matches."""
    receivers = config.plan.routes["all"]
    (step,) = receivers.steps
    assert (list(receivers.targets), receivers.people) == (["desk"], ("ana",))
    assert (list(step.targets), step.people, list(step.on_call)) == (["desk"], ("bob",), ["on-call:nights"])
    assert receivers.contacts == {
        "ana": {"ana-phone": {Severity.CRITICAL}, "ana-mail": {*Severity}},
        "bob": {"bob-mail": {*Severity}},
    }
    assert receivers.others.keys() == config.targets.keys()
    who = receivers.on_call["on-call:nights"]
    holes = [who(parse_instant(f"2026-12-{day}T12:00+01:00")) for day in ("08", "25")]
    assert (*holes, who(parse_instant("2026-12-24T19:00+01:00"))) == ("bob", "bob", "ana")
    assert [config.whose(target) for target in ("ana-phone", "ana-mail", "bob-mail", "desk")] == [
        "ana",
        "ana",
        "bob",
        "desk",
    ]


def test_quiet_hours_are_the_persons_and_let_pass_what_is_critical(config: Config) -> None:
    """At all of his targets; a target of somebody who has none keeps its own."""
    quiet = config.plan.holds.quiet_hours
    assert quiet.keys() == {"ana-phone", "ana-mail", "bob-mail"}
    night, end = parse_instant("2026-12-07T23:00+01:00"), parse_instant("2026-12-08T07:00+01:00")
    assert [quiet[target](night) for target in ("ana-phone", "ana-mail", "bob-mail")] == [end, end, None]
    for severity, told in ((WARNING, set[str]()), (CRITICAL, {"ana-phone", "ana-mail"})):
        item = an_item(BROKEN, severity=severity)._replace(announced_at=night)
        incident = fold("all", None, [ItemSeen("all", item, night)], config.plan)
        assert incident
        assert {d.target for d in incident.deliveries if d.target.startswith("ana")} == told


def test_schedules_that_name_people_are_read_again_while_the_notifier_runs(config: Config, tmp_path: Path) -> None:
    """By the people that it runs with: one that is new needs a restart, and nothing changes until then."""
    file = tmp_path / "notifier.yaml"
    file.write_text(DOCUMENT.replace("[ana, bob, desk]", "[bob]"))
    night = parse_instant("2026-12-07T23:00+01:00")
    assert config.on_call["nights"](night) == "ana"
    assert refresh(file, config) == ""
    assert config.on_call["nights"](night) == "bob"
    file.write_text(DOCUMENT.replace("  bob: {", "  eve: {").replace("bob", "eve"))
    assert "rotation: 'eve' is unknown; write one of ana, ana-mail" in refresh(file, config)
    assert config.on_call["nights"](night) == "bob"


def test_people_are_known_where_there_are_no_secrets(tmp_path: Path) -> None:
    """Of whoever asks who is on call, or whom something would reach."""
    file = tmp_path / "notifier.yaml"
    file.write_text(DOCUMENT.replace("bob-mail: {channel: console", "bob-mail: {channel: slack, settings: {token: 1}"))
    assert load_schedules(file)["nights"].who_at(parse_instant("2026-12-07T23:00+01:00")) == "ana"
    assert load_rules(file).people.keys() == {"ana", "bob"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("targets: [ana-phone, ana-mail]", "targets: [ana-fax]", "ana.contact[0].targets: 'ana-fax' is unknown; write"),
        ("targets: [ana-phone, ana-mail]", "targets: [bob]", "ana.contact[0].targets: 'bob' is unknown; write one of"),
        ("      - {targets: [ana-mail]}\n", "", "ana.contact: the last rule does not match every severity; add one"),
        ("severity: [critical]", "severity: [grave]", "ana.contact[0].severity: 'grave' is unknown; write one of"),
        ("severity: [critical]", "severity: []", "ana.contact[0].severity: [] is no list of texts"),
        ("severity: [critical], ", "", "ana.contact[1]: is never reached, as rules above match all that it does"),
        (
            "      - {targets: [ana-mail]}\n",
            "      - {targets: [ana-mail]}\n      - {severity: [info], targets: [ana-phone]}\n",
            "ana.contact[2]: is never reached, as rules above",
        ),
        ("contact: [{targets: [bob-mail]}]", "contact: []", "bob.contact: is missing; write for example [{targets:"),
        ("contact: [{targets: [bob-mail]}]", "", "bob.contact: is missing; write for example [{targets: [ana-mail]}]"),
        ("[{targets: [bob-mail]}]", "[{targets: []}]", "bob.contact[0].targets: [] is no list of texts"),
        ("{targets: [bob-mail]}", "{target: [bob-mail]}", "bob.contact[0].targets: None is no list of texts"),
        (
            "[{targets: [bob-mail]}]",
            "[{targets: [bob-mail, ana-mail]}]",
            "bob.contact[0].targets: ana-mail is ana's already, by whose quiet hours and answers it goes; leave it",
        ),
        (
            "bob: {",
            "bob: {quiet_hours: {zone: UTC, hours: {mon: '00:00-07:00'}}, ",
            "bob.quiet_hours: are a person's, and bob-mail has some, too; leave out one of the two",
        ),
        ("zone: Europe/Madrid, hours", "zone: Madrid, hours", "ana.quiet_hours.zone: 'Madrid' is no time zone"),
        ("bob: {", "bob: {phone: 5, ", "bob.phone: is no field; write contact or quiet_hours"),
        ("  bob: {", "  desk: {", "desk: is a target's name, too; call one of them differently"),
        ("  bob: {", "  'on-call:nights': {", "on-call:nights: 'on-call:nights' is no name; write at most 40 small"),
    ],
)
def test_a_problem_with_a_person_names_place_value_and_remedy(old: str, new: str, said: str) -> None:
    """One change to a good document, and what its author is told, first of all."""
    assert old in DOCUMENT
    with pytest.raises(DocumentError) as problem:
        parse(DOCUMENT.replace(old, new, 1), "notifier.yaml")
    assert re.match(rf"notifier\.yaml: line \d+: people\.{re.escape(said)}", str(problem.value))
