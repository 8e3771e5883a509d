"""What `notifier.yaml` may say, and what its author is told where it says something else."""

import re
from pathlib import Path

import pytest

from services.notifier.beliefs import Receivers
from services.notifier.config import BUILT_IN, load, load_plan, load_schedules, parse
from services.notifier.items import Severity
from services.notifier.pace import Pace
from services.notifier.routing import ROUTE_LABELS
from services.notifier.throttle import Rate
from services.notifier.wording import Style
from services.shared.documents import DocumentError
from services.shared.instant import SECOND, parse_instant
from tests.unit.notifier.test_schedules import FEED

FULL = """
targets:
  console: {channel: console, language: es}
  desk:
    channel: email
    time_zone: Europe/Madrid
    show_customer: true
    canary: {every: 2h}
    settings: {host: mail.example.com, from: puntual@example.com, to: [desk@example.com]}
  crm:
    channel: webhook
    settings: {url: "env:CRM_URL", secret: "env:CRM_SECRET", timeout: 5s}
severity:
  - {match: {tier: [gold]}, severity: critical}
routes:
  - {name: desk, match: {team: [counter], severity: [critical]}, targets: [desk, crm], at_risk: true}
  - {name: rest, targets: [console], group_by: [team, kind]}
give_up_after: {critical: 2h}
heartbeat: {url: "env:HEARTBEAT_URL", every: 30s}
"""


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_URL", "https://crm.example.com/hooks/5f1c")
    monkeypatch.setenv("HEARTBEAT_URL", "https://hearts.example.com/5f1c")
    monkeypatch.setenv("ANSWER_SECRET", "s" * 32)
    monkeypatch.setenv("CRM_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


def test_the_built_in_document_tells_everything_to_the_console() -> None:
    """Whoever starts Puntual sees alerts without having written a line."""
    config = load(BUILT_IN)
    assert config.plan.routes == {"everything": Receivers({"console": "console"}, at_risk=True)}
    assert all(seconds > 0 for seconds in config.plan.patience.values())
    assert not config.heartbeat
    assert not any(target.canary for target in config.targets.values())


def test_a_full_document_is_read_as_it_is_meant() -> None:
    """Targets with their style, routes with their conditions, and defaults for what is not said."""
    config = parse(FULL, "notifier.yaml")
    desk, rest = config.routing.routes
    assert (desk.match, desk.targets, desk.at_risk) == (
        {"team": frozenset({"counter"}), "severity": frozenset({"critical"})},
        ("desk", "crm"),
        True,
    )
    assert (rest.group_by, rest.at_risk) == (("kind", "team"), False)
    assert config.targets["desk"].style == Style("", "Europe/Madrid", show_customer=True)
    assert config.targets["console"].style.language == "es"
    assert config.plan.patience[Severity.CRITICAL] == 7200 * SECOND
    assert config.plan.patience[Severity.WARNING] == 43_200 * SECOND
    assert {name: target.canary for name, target in config.targets.items()} == {
        "console": 0,
        "desk": 7200 * SECOND,
        "crm": 0,
    }
    assert config.heartbeat
    assert config.heartbeat.every == 30 * SECOND


def test_severity_can_ask_for_lateness() -> None:
    """The later rule is reached where the one above it asks for more lateness, or for what the later one does not."""
    rules = """
  - {match: {tier: [gold]}, late: 1h 30min, severity: critical}
  - {match: {standing: [at_risk]}, severity: info}
  - {match: {kind: [callback]}, severity: info}
  - {match: {tier: [gold]}, late: 30min, severity: warning}
  - {match: {tier: [gold]}, severity: critical}
"""
    config = parse(FULL.replace("\n  - {match: {tier: [gold]}, severity: critical}\n", rules), "notifier.yaml")
    assert [rule.late // SECOND for rule in config.routing.severities] == [5_400, 0, 0, 1_800, 0]
    assert config.routing.severities[-1] == ({"tier": frozenset({"gold"})}, Severity.CRITICAL, 0)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "channel: webhook",
            "channel: pigeon",
            "targets.crm.channel: 'pigeon' is unknown; write one of alertmanager, console",
        ),
        ("language: es", "language: tlh", "targets.console.language: 'tlh' is unknown; write one of en, es, it"),
        ("language: es", "sound: loud", "targets.console.sound: is no field; write one of canary, channel"),
        ("Europe/Madrid", "Madrid", "targets.desk.time_zone: 'Madrid' is no time zone; write one of IANA's"),
        (
            "show_customer: true",
            "show_customer: maybe",
            "targets.desk.show_customer: 'maybe' is neither true",
        ),
        ("to: [desk@example.com]", "to: [desk]", "targets.desk.settings.to: 'desk' is no address"),
        ("host: mail.example.com, ", "", "targets.desk.settings.host: is missing"),
        ("timeout: 5s", "timeout: soon", "targets.crm.settings.timeout: 'soon' is no duration"),
        ("env:CRM_SECRET", "env:NOWHERE", "targets.crm.settings.secret: is empty; set NOWHERE"),
        ("env:CRM_URL", "ftp://x", "targets.crm.settings.url: is no web address"),
        ("severity: critical}", "severity: awful}", "severity[0].severity: 'awful' is unknown"),
        ("severity: critical}", "late: soon, severity: critical}", "severity[0].late: 'soon' is no duration"),
        ("severity: critical}", "late: none, severity: critical}", "severity[0].late: 'none' is no duration"),
        ("severity: critical}", "late: -4h, severity: critical}", "severity[0].late: '-4h' is no duration"),
        ("severity: critical}", "late: 0s, severity: critical}", "severity[0].late: '0s' is no time at all"),
        ("severity: critical}", "late: 31d, severity: critical}", "severity[0].late: 31 d is too long; write at most"),
        (
            "tier: [gold]}, severity: critical}",
            "standing: [at_risk]}, late: 4h, severity: critical}",
            "severity[0].late: is only what is broken, which match leaves out; drop late, or match standing: [broken]",
        ),
        (
            "severity: critical}\nroutes:",
            "severity: info}\n  - {match: {tier: [gold], kind: [callback]}, late: 4h, severity: critical}\nroutes:",
            "severity[1].late: is never reached, as rule 1 matches all that this does; put this above it",
        ),
        ("targets: [desk, crm]", "targets: [desc]", "routes[0].targets: 'desc' is unknown; write one of console, crm"),
        ("team: [counter]", "color: [red]", "routes[0].match.color: is no field; write one of kind, repeated, service"),
        ("severity: [critical]", "severity: [grave]", "routes[0].match.severity: 'grave' is unknown"),
        ("group_by: [team, kind]", "group_by: [severity]", "routes[1].group_by: 'severity' is unknown"),
        ("name: rest,", "name: rest, match: {team: [a]},", "routes: the last one does not match everything"),
        ("name: rest", "name: desk", "routes[1].name: 'desk' is taken by a route above"),
        ("name: rest", "name: The Rest", "routes[1].name: 'The Rest' is no name"),
        ("match: {team: [counter], severity: [critical]}, ", "", "routes[0].match: is missing, so that no later route"),
        ("name: rest", "name: rest, continue: true", "routes[1].continue: is of no use in the last route"),
        ("critical: 2h", "critical: 0s", "give_up_after.critical: '0s' is no time at all"),
        ("critical: 2h", "grave: 2h", "give_up_after.grave: is no field"),
        ("every: 2h", "every: 0s", "targets.desk.canary.every: '0s' is no time at all; write for example 1h"),
        ("every: 2h", "often: 2h", "targets.desk.canary.often: is no field; write every"),
        ("env:HEARTBEAT_URL", "http://10.0.0.1", "heartbeat.url: is at an address that is not public"),
        ("every: 30s", "often: 30s", "heartbeat.often: is no field; write one of every, networks, timeout, url"),
    ],
)
def test_a_problem_names_place_value_and_remedy(old: str, new: str, said: str) -> None:
    """One change to a good document, and what its author is told."""
    assert old in FULL
    with pytest.raises(DocumentError) as problem:
        parse(FULL.replace(old, new), "notifier.yaml")
    assert re.fullmatch(rf"notifier\.yaml: line \d+: {re.escape(said)}.*", str(problem.value))


def test_all_problems_are_told_at_once() -> None:
    """Nobody mends a file line by line, starting the service in between."""
    with pytest.raises(DocumentError) as problem:
        parse("targets: {a: {channel: x}}\nroutes: [{name: 1}]\ncolor: red", "notifier.yaml")
    assert len(str(problem.value).splitlines()) == 4


@pytest.mark.parametrize("text", ["", "[]", "targets: 5", "routes: {}", "- a\n b: ["])
def test_a_document_that_is_none_is_refused_in_words(text: str) -> None:
    """Empty, of another shape or no YAML at all."""
    with pytest.raises(match=r"^notifier.yaml: "):
        parse(text, "notifier.yaml")


def test_a_secret_is_never_repeated() -> None:
    """Where a secret stands in the document itself, the complaint does not spread it further."""
    with pytest.raises(DocumentError) as problem:
        parse(FULL.replace("env:CRM_SECRET", "hunter2").replace("env:CRM_URL", "https:/hooks/hunter3"), "notifier.yaml")
    assert "secret: is no reference to a secret; write env:NAME or file:/path" in str(problem.value)
    assert "hunter" not in str(problem.value)


def test_a_key_that_is_there_twice_is_refused() -> None:
    """One of the two would go unheard."""
    with pytest.raises(DocumentError, match=r"^notifier.yaml: line 20, column 1: is a key that line 2 gives already"):
        parse(FULL + "targets: {}", "notifier.yaml")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """The path that PUNTUAL_NOTIFIER gave."""
    with pytest.raises(match=r"missing\.yaml: cannot be read"):
        load(tmp_path / "missing.yaml")


def test_the_example_of_the_deployment_is_valid() -> None:
    """What people start from works."""
    config = load(Path(__file__).parents[3] / "deploy" / "notifier.yaml")
    assert {label for route in config.routing.routes for label in route.match} <= ROUTE_LABELS


ON_CALL = """
targets:
  desk: {channel: console}
  ana: {channel: console}
  bob: {channel: console}
schedules:
  nights:
    zone: Europe/Madrid
    fallback: desk
    layers:
      - {rotation: [ana, bob], from: 2026-12-07, at: "09:00", hours: {mon-fri: "18:00-09:00"}}
      - {rotation: [bob], every: 2 days, from: 2026-12-05, at: ["09:00"], hours: {sat-sun: "00:00-24:00"}}
      - {calendar: a.ics, people: {Ana Lopez: ana, carla: bob}, ignore: [Party]}
    overrides:
      - {from: 2026-12-24T18:00, to: 2026-12-25T09:00, who: bob}
      - {from: 2026-12-25T09:00:00+01:00, to: 2026-12-26, who: desk}
routes:
  - {name: rest, targets: [desk, on-call:nights]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the document with schedules is, and the calendar beside it."""
    (tmp_path / "a.ics").write_bytes(FEED)
    return tmp_path / "notifier.yaml"


def test_schedules_are_read_as_they_are_meant(file: Path) -> None:
    """A route that names one tells whoever is on call; in a hole the fallback."""
    receivers = parse(ON_CALL, str(file)).plan.routes["rest"]
    assert (receivers.targets, list(receivers.on_call)) == ({"desk": "console"}, ["on-call:nights"])
    assert receivers.others == dict.fromkeys(("desk", "ana", "bob"), "console")
    who = receivers.on_call["on-call:nights"]
    for at, target in (
        ("2026-12-15T18:00", "bob"),
        ("2026-12-15T12:00", "desk"),
        ("2026-12-08T12:00", "ana"),
        ("2026-12-19T12:00", "bob"),
        ("2026-12-24T18:00", "bob"),
        ("2026-12-25T09:00", "desk"),
        ("2026-12-26T00:00", "ana"),
    ):
        assert (at, who(parse_instant(f"{at}+01:00"))) == (at, target)


def test_schedules_can_be_read_without_the_secrets_of_targets(file: Path) -> None:
    """Whoever asks who is on call need not have them."""
    file.write_text(ON_CALL.replace("ana: {channel: console}", 'ana: {channel: webhook, settings: {url: "env:NO"}}'))
    assert list(load_schedules(file)) == ["nights"]
    with pytest.raises(DocumentError, match="'bob' is unknown; write ana or desk"):
        load_schedules(file, ["desk", "ana"])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("zone: Europe/Madrid", "zone: Madrid", "zone: 'Madrid' is no time zone; write one of IANA's"),
        ("zone: Europe/Madrid", "color: red", "zone: is missing"),
        (
            "fallback: desk",
            "fallback: dusk",
            "fallback: 'dusk' is unknown; write one of ana, bob, desk",
        ),
        ("    fallback: desk\n", "", "fallback: is missing; write one of ana, bob, desk"),
        (
            "[ana, bob]",
            "[ana, eve]",
            "layers[0].rotation: 'eve' is unknown; write one of ana, bob, desk",
        ),
        ("[ana, bob]", "[]", "layers[0].rotation: [] is no list of texts; write for example [ana]"),
        (
            "from: 2026-12-07",
            "from: soon",
            "layers[0].from: 'soon' is no date; write for example 2026",
        ),
        ("from: 2026-12-07, ", "", "layers[0].from: is missing; write the date of the first hand-off"),
        ('at: "09:00"', 'at: "9 am"', "layers[0].at: '9 am' is no time of day; write for example"),
        ('at: "09:00", ', "", "layers[0].at: is missing"),
        ('"09:00"]', '"09:00", "21:00"]', "layers[1].at: has several times a day"),
        (
            "every: 2 days",
            "every: 2 months",
            "layers[1].every: '2 months' is no turn; write for example",
        ),
        ("every: 2 days", "every: 0 days", "layers[1].every: '0 days' is no turn; write for example"),
        ("mon-fri", "mon-foo", "layers[0].hours.mon-foo: is no weekday"),
        ("a.ics", "b.ics", "layers[2].calendar: 'b.ics' cannot be read: No such file"),
        ("a.ics", "notifier.yaml", "layers[2].calendar: is no calendar: "),
        (
            "carla: bob",
            "carla: eve",
            "layers[2].people.carla: 'eve' is unknown; write one of ana, bob",
        ),
        (", carla: bob", "", "layers[2].calendar: 'carla' in it is no target; say who that is under"),
        (
            "2026-12-25T09:00,",
            "2026-12-24T17:00,",
            "overrides[0].to: 2026-12-24T17:00+01:00 is not after",
        ),
        (
            "2026-12-24T18:00,",
            "Christmas,",
            "overrides[0].from: 'Christmas' is no instant; write 2026-12",
        ),
        (
            "from: 2026-12-24T18:00, ",
            "",
            "overrides[0].from: is missing; write for example 2026-12-24T",
        ),
        ("who: bob", "who: eve", "overrides[0].who: 'eve' is unknown; write one of ana, bob, desk"),
    ],
)
def test_a_problem_with_a_schedule_names_place_value_and_remedy(file: Path, old: str, new: str, said: str) -> None:
    """One change to a good document, and what its author is told first."""
    assert old in ON_CALL
    file.write_text("")
    with pytest.raises(DocumentError) as problem:
        parse(ON_CALL.replace(old, new, 1), str(file))
    first = str(problem.value).splitlines()[0]
    assert re.fullmatch(rf"{re.escape(str(file))}: line \d+: schedules\.nights\.{re.escape(said)}.*", first)


HELD = """
targets:
  desk: {channel: webhook, settings: {url: "env:NOT_HERE"}, quiet_hours: {zone: UTC, hours: {mon: "22:00-23:00"}}}
routes: [{name: all, targets: [desk]}]
maintenance: [{name: backups, match: {kind: [callback]}, weekly: {sun: "02:00-05:00"}, zone: UTC}]
inhibit: [{while: {kind: [callback]}, quiet: {kind: [order_ready]}}]
"""


def test_what_holds_news_back_can_be_read_without_the_secrets_of_targets(tmp_path: Path) -> None:
    """Who is told, and all that holds back but silences; what is wrong with it is said."""
    file = tmp_path / "notifier.yaml"
    file.write_text(HELD)
    plan = load_plan(file)
    assert plan.routes == {"all": Receivers({"desk": "webhook"})}
    assert [window.name for window in plan.holds.windows] == ["backups"]
    assert len(plan.holds.inhibitions) == 1
    assert plan.holds.quiet_hours["desk"](parse_instant("2026-11-23T22:10:00Z")) == parse_instant(
        "2026-11-23T23:00:00Z"
    )
    file.write_text(HELD.replace("zone: UTC}]", "zone: Mars}]"))
    with pytest.raises(DocumentError, match="Mars"):
        load_plan(file)


def test_the_name_of_a_schedule_is_checked(file: Path) -> None:
    """Where it is given, and where a route uses it."""
    with pytest.raises(DocumentError, match=r"line 7: schedules\.The Nights: 'The Nights' is no name"):
        parse(ON_CALL.replace("nights:\n", "The Nights:\n"), str(file))
    with pytest.raises(DocumentError, match="'on-call:days' is unknown; write one of ana, bob, desk, on-call:nights"):
        parse(ON_CALL.replace("on-call:nights", "on-call:days"), str(file))


def test_a_schedule_of_nothing_is_refused(file: Path) -> None:
    """It would tell its fallback for ever."""
    with pytest.raises(DocumentError, match=r"schedules\.a\.layers: is missing; write for example \[\{rotation"):
        parse(ON_CALL.replace("schedules:", "schedules:\n  a: {zone: UTC, fallback: ana}"), str(file))


def test_the_examples_in_the_built_in_document_are_valid() -> None:
    """What people copy from its comments, all of it together."""
    blocks = re.findall(r"For example:\n((?:#   .*\n)+)", BUILT_IN.read_text())
    assert len(blocks) > 1
    targets = "targets:\n" + "".join(f"  {name}: {{channel: console}}\n" for name in EXAMPLE_TARGETS)
    routes = "routes: [{name: all, targets: ['on-call:shop'], escalation: shop, group_by: [customer]}]\n"
    examples = [line.removeprefix("#   ") for block in blocks for line in block.splitlines()]
    config = parse("\n".join((targets, routes, *examples)), "notifier.yaml")
    start = parse_instant("2026-12-07T00:00:00+01:00")
    assert not config.on_call["shop"].schedule.holes(start, parse_instant("2027-12-07T00:00:00+01:00"))
    assert len(config.plan.routes["all"].steps) == 2 + 2 * 3 + 1


EXAMPLE_TARGETS = ("console", "front-desk", "ana-phone", "ana-mail", "bob", "carla", "manager", "director")
ESCALATING = """
targets: {ana: {channel: console}, boss: {channel: console}, chief: {channel: console}}
routes: [{name: all, targets: [ana], escalation: stairs}]
escalations:
  stairs:
    steps:
      - {after: 10min, targets: [ana, boss]}
    repeat: {after: 30min, times: 2}
    fallback: {after: 1h, targets: [chief]}
    acknowledged_for: 2h
"""


def test_an_escalation_is_read_step_by_step() -> None:
    """With its repetitions, which begin with those of the route, and the fallback at the end."""
    receivers = parse(ESCALATING, "notifier.yaml").plan.routes["all"]
    minutes = [(step.after // (60 * SECOND), list(step.targets)) for step in receivers.steps]
    again = [(30, ["ana"]), (10, ["ana", "boss"])]
    assert minutes == [(10, ["ana", "boss"]), *again, *again, (60, ["chief"])]
    assert receivers.attention == 7200 * SECOND
    assert receivers.others.keys() == {"ana", "boss", "chief"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("escalation: stairs", "escalation: ladder", "routes[0].escalation: 'ladder' is unknown; write stairs"),
        ("after: 10min, ", "", "escalations.stairs.steps[0].after: is missing; write how long to wait"),
        ("after: 10min", "after: soon", "escalations.stairs.steps[0].after: 'soon' is no duration"),
        ("targets: [chief]", "targets: [king]", "escalations.stairs.fallback.targets: 'king' is unknown; write one of"),
        ("times: 2", "times: 0", "escalations.stairs.repeat.times: 0 is no such number; write one from 1 to 100"),
        (", times: 2", "", "escalations.stairs.repeat.times: is missing; write one from 1 to 100"),
        ("acknowledged_for: 2h", "acknowledge: 2h", "escalations.stairs.acknowledge: is no field; write one of"),
    ],
)
def test_a_problem_with_an_escalation_names_place_value_and_remedy(old: str, new: str, said: str) -> None:
    """One change to a good document, and what its author is told."""
    assert old in ESCALATING
    with pytest.raises(DocumentError) as problem:
        parse(ESCALATING.replace(old, new, 1), "notifier.yaml")
    assert re.fullmatch(rf"notifier\.yaml: line \d+: {re.escape(said)}.*", str(problem.value))


def test_a_route_takes_its_time() -> None:
    """As its three spans say; without them it takes none."""
    assert parse(ESCALATING, "notifier.yaml").plan.routes["all"].pace == Pace()
    spans = "group_wait: 30s, group_interval: 5min, digest: 1h"
    slow = ESCALATING.replace("escalation: stairs", f"escalation: stairs, {spans}")
    assert parse(slow, "notifier.yaml").plan.routes["all"].pace == Pace(30 * SECOND, 300 * SECOND, 3600 * SECOND)


def test_an_escalation_that_is_nowhere_is_refused() -> None:
    """Nobody would be told."""
    with pytest.raises(DocumentError, match=r"routes\[0\]\.escalation: 'stairs' is unknown; say under escalations"):
        parse(ESCALATING.partition("escalations:")[0], "notifier.yaml")


def test_an_escalation_without_steps_is_refused() -> None:
    """It would tell nobody."""
    with pytest.raises(
        DocumentError, match=r"escalations\.stairs\.steps: is missing; write for example \[\{after: 10min"
    ):
        parse(ESCALATING.partition("    steps:")[0] + "    acknowledged_for: 2h\n", "notifier.yaml")


def paced(channel: str, settings: str, rate: str) -> str:
    """A document with one target."""
    target = f"targets: {{desk: {{channel: {channel}, settings: {settings}{rate}}}}}"
    return f"{target}\nroutes: [{{name: all, targets: [desk]}}]"


CHAT, HOOK = '{url: "https://hooks.example.com/1"}', '{url: "env:CRM_URL"}'


@pytest.mark.parametrize(
    ("channel", "settings", "rate", "read"),
    [
        ("webhook", HOOK, "", None),
        ("webhook", HOOK, ", rate: 20 per minute", Rate(20, 60.0)),
        ("webhook", HOOK, ", rate: 1 per second", Rate(1, 1.0)),
        ("slack", CHAT, "", Rate(60, 60.0)),
        ("slack", CHAT, ", rate: 5 per hour", Rate(5, 3_600.0)),
        ("slack", CHAT, ", rate: none", None),
    ],
)
def test_a_target_is_sent_no_more_than_it_can_bear(channel: str, settings: str, rate: str, read: Rate | None) -> None:
    """As the document says, or as is usual for its channel."""
    assert parse(paced(channel, settings, rate), "notifier.yaml").targets["desk"].rate == read


@pytest.mark.parametrize(
    ("channel", "settings", "rate", "said"),
    [
        ("webhook", HOOK, "20", "20 is no text"),
        ("webhook", HOOK, "0 per minute", "'0 per minute' is no rate; write for example 20 per minute, or none"),
        ("webhook", HOOK, "20 per week", "'20 per week' is no rate"),
        ("pagerduty", '{routing_key: "env:CRM_SECRET"}', "20 per minute", "is not for pagerduty"),
        ("alertmanager", '{urls: ["https://am.example.com"]}', "20 per minute", "is not for alertmanager"),
    ],
)
def test_a_rate_that_cannot_be_kept_is_refused(channel: str, settings: str, rate: str, said: str) -> None:
    """A message of those that close alerts by id can stand for no other."""
    with pytest.raises(DocumentError, match=f"line 1: targets.desk.rate: {re.escape(said)}"):
        parse(paced(channel, settings, f", rate: {rate}"), "notifier.yaml")


FALLING_BACK = """
targets:
  a: {channel: console, fallback: b}
  b: {channel: console, fallback: c}
  c: {channel: console}
routes: [{name: all, targets: [a]}]
"""


def test_targets_have_fallbacks_and_those_have_theirs() -> None:
    """Each of them can then be told on every route."""
    receivers = parse(FALLING_BACK, "notifier.yaml").plan.routes["all"]
    assert receivers.fallbacks == {"a": "b", "b": "c"}
    assert receivers.others == dict.fromkeys("abc", "console")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("fallback: c", "fallback: d", ["targets.b.fallback: 'd' is unknown; write one of a, b, c"]),
        ("fallback: b", "fallback: on-call:b", ["targets.a.fallback: 'on-call:b' is unknown; write one of a, b, c"]),
        (
            "fallback: c",
            "fallback: a",
            [
                "targets.a.fallback: leads back to where it began, a → b → a; leave one of them out",
                "targets.b.fallback: leads back to where it began, b → a → b; leave one of them out",
            ],
        ),
        (
            "fallback: c",
            "fallback: b",
            ["targets.b.fallback: leads back to where it began, b → b; leave one of them out"],
        ),
    ],
)
def test_a_fallback_that_is_none_is_refused(old: str, new: str, said: list[str]) -> None:
    """Nobody would ever say on the console what goes round in a circle."""
    with pytest.raises(DocumentError) as problem:
        parse(FALLING_BACK.replace(old, new), "notifier.yaml")
    assert [line.partition(": line ")[2].partition(": ")[2] for line in str(problem.value).splitlines()] == said
