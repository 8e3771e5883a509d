"""`puntual incidents ack`, `take-over`, `snooze`, `resolve`, `comment` and `resend`: what people say to incidents."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from functools import wraps
from time import monotonic
from typing import NamedTuple
from uuid import uuid4

import click
from google.protobuf.json_format import MessageToDict

from puntual.notifier.v1 import incident_pb2 as pb
from services.cli.exits import EXIT_CODES, Failure, NotFound, Unreachable
from services.cli.incidents import clock, losses, read_incidents
from services.cli.options import INSTANT, SpanType, json_option, kafka_option, login, prefix_option
from services.cli.reading import follow
from services.notifier.codec import unpack
from services.notifier.incident import Incident, IncidentState
from services.notifier.items import NONE
from services.notifier.response_codec import decode_response, to_message
from services.notifier.responses import MAX_SNOOZE, Action, Response
from services.shared.clock import wall_clock
from services.shared.errors import Unusable
from services.shared.instant import Instant
from services.shared.publisher import Publisher
from services.shared.terminal import say
from services.shared.text import clean
from services.shared.topics import INCIDENTS, RESPONSES

_NOW = wall_clock
#: Seconds in which a notifier that runs has taken a response in.
PATIENCE = 10.0
#: How many incidents an error names.
_NAMED = 5


class Respondent(NamedTuple):
    """Who says something, and where."""

    by: str
    kafka: str
    prefix: str
    as_json: bool


class Said(NamedTuple):
    """What somebody says to every incident that is named."""

    action: Action
    comment: str
    until: Instant = NONE
    #: Whom to tell again; empty: all who could not be reached.
    target: str = ""


Command = Callable[..., None]
Decorator = Callable[[Command], Command]
_OPTIONS: Sequence[Decorator] = (
    click.option(
        "--by",
        default=login,
        metavar="NAME",
        help="Who says so: a target or person of notifier.yaml, who is not told of it then, or any name.  "
        "[default: your login]",
    ),
    kafka_option,
    prefix_option,
    json_option,
)
_INCIDENTS = click.argument("incidents", nargs=-1, required=True, metavar="INCIDENT...")
_COMMENT = click.option("--comment", default="", metavar="TEXT", help="What to note with it.")
_FOR = click.option("--for", "span", type=SpanType("30d"), help="For how long: 2h.  [default: as notifier.yaml has it]")


def _command(name: str, example: str, *parameters: Decorator) -> Callable[[Command], click.Command]:
    """A command with the options that all have; it is passed the Respondent they make."""

    def made(command: Command) -> click.Command:
        @wraps(command)
        def answering(by: str, kafka: str, prefix: str, as_json: bool, **others: object) -> None:
            command(Respondent(by, kafka, prefix, as_json), **others)

        chosen: Command = answering
        for parameter in reversed((*parameters, *_OPTIONS)):
            chosen = parameter(chosen)
        epilog = f"{EXIT_CODES}\n\n\b\nExamples:\n  puntual incidents {name} {example}"
        return click.command(name, epilog=epilog)(chosen)

    return made


@_command("ack", 'everything/kind=order_ready --for 2h --comment "on my way"', _INCIDENTS, _FOR, _COMMENT)
def ack(who: Respondent, incidents: Sequence[str], span: int | None, comment: str) -> None:
    """Say that you see to all that is open in INCIDENT: nobody further is told.

    What breaks later is told. When the time is over, what is still open is told again. Whoever said so first is the
    one: to replace them, `take-over`.
    """
    _answer(who, incidents, Said(Action.ACKNOWLEDGE, comment, _after(span)))


@_command("take-over", "everything/kind=order_ready --for 2h", _INCIDENTS, _FOR, _COMMENT)
def take_over(who: Respondent, incidents: Sequence[str], span: int | None, comment: str) -> None:
    """See to INCIDENT in place of whoever acknowledged it; whoever was told hears of it."""
    _answer(who, incidents, Said(Action.TAKE_OVER, comment, _after(span)))


@_command(
    "snooze",
    "everything/kind=order_ready --until 2026-11-27T09:00:00+01:00",
    _INCIDENTS,
    click.option("--for", "span", type=SpanType("7d"), help="For how long: 4h."),
    click.option("--until", type=INSTANT, help="Until an instant, with offset: 2026-11-27T09:00:00+01:00."),
    _COMMENT,
)
def snooze(who: Respondent, incidents: Sequence[str], span: int | None, until: Instant | None, comment: str) -> None:
    """Put INCIDENT off, at most a week: nobody is told before; then all that is still open is told again."""
    if (span is None) == (until is None):
        raise click.UsageError("say for how long, --for 4h, or --until when: one of them")
    now = _NOW()
    if until is not None and not now < until <= now + MAX_SNOOZE:
        raise click.UsageError("--until is not in the coming 7 days; nothing can be put off for longer")
    _answer(who, incidents, Said(Action.SNOOZE, comment, until or _after(span)))


@_command("resolve", 'everything/kind=order_ready --comment "called, all is well"', _INCIDENTS, _COMMENT)
def resolve(who: Respondent, incidents: Sequence[str], comment: str) -> None:
    """Say that what is open in INCIDENT is dealt with, whatever the events say; whoever was told hears so."""
    _answer(who, incidents, Said(Action.RESOLVE, comment))


@_command(
    "comment",
    'everything/kind=order_ready "the van broke down"',
    click.argument("incident", metavar="INCIDENT"),
    click.argument("text"),
)
def comment_(who: Respondent, incident: str, text: str) -> None:
    """Note TEXT in INCIDENT, for whoever looks at it with `show`; nobody is told."""
    _answer(who, [incident], Said(Action.COMMENT, text))


@_command(
    "resend",
    "--all --target slack",
    click.argument("incidents", nargs=-1, metavar="[INCIDENT...]"),
    click.option("--all", "everything", is_flag=True, help="Every incident of which somebody could not be told."),
    click.option("--target", default="", metavar="NAME", help="Only to this target.  [default: all that were missed]"),
)
def resend(who: Respondent, incidents: Sequence[str], everything: bool, target: str) -> None:
    """Tell whoever could not be reached again of what is still open in INCIDENT, as it is now.

    What is over by now, or somebody sees to, they are not told. `list --lost` says what could not be delivered to whom.
    """
    if everything == bool(incidents):
        raise click.UsageError("name incidents, or all of them by --all: one of them")
    records = _records(who)
    if everything:
        incidents = sorted(name for name, each in records.items() if losses(each, target))
    for name in incidents:
        if not losses(_open(records, name), target):
            raise Failure(
                f"Nothing that is open in {name!r} was lost{f' on the way to {target!r}' if target else ''}; nothing"
                " was published. `puntual incidents list --lost` says what was lost."
            )
    if not incidents:
        say("Nothing that is open was lost.", err=True)
        return
    _answer(who, incidents, Said(Action.RESEND, "", target=target), records)


ANSWERS = (ack, take_over, snooze, resolve, comment_, resend)


def _after(span: int | None) -> Instant:
    return Instant(_NOW() + span) if span else NONE


def _records(who: Respondent) -> Mapping[str, Incident]:
    return {key.decode(): unpack(value) for key, value in read_incidents(who.kafka, who.prefix).items()}


def _answer(who: Respondent, names: Sequence[str], said: Said, records: Mapping[str, Incident] | None = None) -> None:
    """Publish what is said to each incident, wait until the notifier has taken it in, and say what came of it.

    `records`: all incidents by name, where they were read already.
    """
    names = list(dict.fromkeys(names))
    records = records or _records(who)
    responses = {name: _response(_open(records, name), who.by, said) for name in names}
    taken_in = _taken_in(who, responses)
    now = _NOW()
    for name in [name for name in names if name in taken_in]:
        value, response = taken_in[name], responses[name]
        if who.as_json:
            message = MessageToDict(pb.Incident.FromString(value))
            say(json.dumps({"responseId": response.response_id, **message}))
        else:
            lost, after = losses(records[name], said.target), unpack(value)
            became = resent(after, lost) if said.action == Action.RESEND else outcome(after, response, now)
            say((f"{name}: " if len(names) > 1 else "") + became)
    if left := [name for name in names if name not in taken_in]:
        raise Unreachable(
            f"No notifier has taken it in within {PATIENCE:g} s. It is published and counts as soon as one runs, for"
            f" what is open then: {', '.join(left)}."
        )


def _open(records: Mapping[str, Incident], name: str) -> Incident:
    """The incident of that name. Raises Failure, with those that are open, where it is not."""
    incident = records.get(name)
    if incident and incident.state != IncidentState.RESOLVED:
        return incident
    others = _listed(sorted(each.incident_id for each in records.values() if each.state != IncidentState.RESOLVED))
    if incident:
        raise Failure(f"Incident {name!r} is over already; {others}.")
    raise NotFound(f"There is no incident {name!r}; {others}.")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more (`puntual incidents list`)" if len(names) > _NAMED else ""
    return f"open is {', '.join(names[:_NAMED])}{more}" if names else "none is open"


def _response(incident: Incident, by: str, said: Said) -> Response:
    """What is published: for this run of the incident and for no later one. Raises Failure where it cannot be used."""
    response = Response(
        response_id=str(uuid4()),
        action=said.action,
        by=by,
        responded_at=_NOW(),
        opened_at=incident.attention.opened_at,
        until=said.until,
        comment=said.comment,
        via="cli",
        target=said.target,
    )
    try:
        decode_response(to_message(incident.incident_id, response).SerializeToString(), is_json=False, heard_at=_NOW())
    except Unusable as unusable:
        raise Failure(f"{unusable.detail}; nothing was published") from unusable
    return response


def _taken_in(who: Respondent, responses: Mapping[str, Response]) -> Mapping[str, bytes]:
    """Publishes the responses; by incident the first record that has its response, as far as that comes in time."""
    awaited = {response.response_id: name for name, response in responses.items()}
    found: dict[str, bytes] = {}
    with closing(
        follow(who.kafka, [INCIDENTS.under(who.prefix)], from_start=False, ready=lambda: _publish(who, responses))
    ) as entries:
        end = None
        for entry in entries:
            # Publishing may take its time; it is over once there is an entry.
            end = end or monotonic() + PATIENCE
            if entry and entry.key and entry.value and entry.key.decode() in responses:
                for response_id in _ids(entry.value) & awaited.keys():
                    found[awaited.pop(response_id)] = entry.value
            if not awaited or monotonic() > end:
                return found
    return found


def _publish(who: Respondent, responses: Mapping[str, Response]) -> None:
    with Publisher(who.kafka, who.prefix) as publisher:
        for name, response in responses.items():
            value = to_message(name, response).SerializeToString()
            publisher.send(RESPONSES.under(who.prefix), name.encode(), value)


def _ids(value: bytes) -> Collection[str]:
    return {answered.response_id for answered in pb.Incident.FromString(value).responses}


def outcome(incident: Incident, response: Response, now: Instant) -> str:
    """What came of a response, in a sentence."""
    by, acknowledgement = clean(response.by), incident.attention.acknowledgement
    if response.action == Action.RESOLVE:
        return f"Closed by {by}; whoever was told hears it. What breaks from now on is told."
    if response.action == Action.COMMENT:
        return "Noted."
    if acknowledgement is None:
        return "Noted, but it is over already."
    until = clock(acknowledgement.until, now)
    if acknowledgement.by != response.by:
        does = "put it off" if acknowledgement.snoozed else "sees to it"
        return f"Noted, but {clean(acknowledgement.by)} {does} until {until}; `take-over` puts you in their place."
    if acknowledgement.snoozed:
        return f"Put off by {by} until {until}; nobody is told before."
    return f"Acknowledged by {by} until {until}; nobody further is told."


def resent(incident: Incident, lost: Mapping[str, int]) -> str:
    """What came of sending again, in a sentence. `lost`: of how much each target could not be told before."""
    left = losses(incident)
    again = sorted(target for target in lost if not left.get(target))
    later = sorted(target for target in lost if left.get(target))
    said = [f"Told again: {', '.join(again)}."] if again else []
    if later:
        said.append(f"Not yet: {', '.join(later)}; it is busy, held back, or somebody sees to it.")
    return " ".join(said) or "Noted, but it is over already."
