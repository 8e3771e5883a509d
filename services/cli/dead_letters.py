"""`puntual dead-letters`: what could not be used, why, and sending it again once the cause is gone."""

import json
from collections.abc import Callable, Iterator
from functools import wraps
from itertools import islice
from typing import Any, NamedTuple

import click
from rich.text import Text

from services.cli.exits import EXIT_CODES
from services.cli.options import INSTANT, json_option, kafka_option, prefix_option
from services.cli.reading import read_to_end
from services.cli.words import counted
from services.shared.engine.dead_letters import LEFT_OUT, OFFSETS, ORIGINAL, SIZE
from services.shared.engine.stage import Message
from services.shared.errors import DeadLetterReason
from services.shared.instant import Instant, format_instant
from services.shared.publisher import Publisher
from services.shared.terminal import console, say
from services.shared.topics import DEAD_LETTERS, INCIDENTS, PROMISES, SLA

_MILLISECOND = 1000
#: Written by the service that keeps them and by nobody else: a foreign write ends its worker.
_RECORDS = (PROMISES, SLA, INCIDENTS)
_REASONS = [reason.value for reason in DeadLetterReason]


class DeadLetter(NamedTuple):
    """A message that was put aside, and why."""

    reason: str
    detail: str
    topic: str
    partition: int
    offset: int
    #: When it was put aside.
    at: Instant
    key: bytes | None
    value: bytes | None
    #: As they were sent.
    headers: tuple[tuple[str, bytes], ...]
    #: Which of "headers", "value" and "key" it is without, as they did not fit.
    left_out: str
    #: Bytes of the value, kept or not.
    size: int
    #: The offsets for which it stands, where nobody could read them; empty: it stands for one that could be.
    offsets: str

    @property
    def is_whole(self) -> bool:
        """Whether it holds all of one message."""
        return not (self.left_out or self.offsets)


class Filter(NamedTuple):
    """Which dead letters are meant; None: all."""

    reason: str | None
    topic: str | None
    since: Instant | None
    limit: int | None


def _filtered(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that choose dead letters, and pass it the Filter they make."""

    @wraps(command)
    def filtered(
        reason: str | None, topic: str | None, since: Instant | None, limit: int | None, **others: object
    ) -> None:
        command(Filter(reason, topic, since, limit), **others)

    chosen: Callable[..., None] = filtered
    options = (
        click.option("--reason", type=click.Choice(_REASONS), help="Only this reason."),
        click.option("--topic", help="Only those sent to this topic (full name)."),
        click.option("--since", type=INSTANT, help="Only those put aside at or after this time (with its offset)."),
        click.option("--limit", type=click.IntRange(1), help="At most so many, the oldest of a partition first."),
        kafka_option,
        prefix_option,
    )
    for option in reversed(options):
        chosen = option(chosen)
    return chosen


@click.group(
    "dead-letters",
    short_help="See and re-send what could not be used.",
    epilog=f"""{EXIT_CODES}

\b
Examples:
  puntual dead-letters list --limit 20
  puntual dead-letters replay --reason too_late --dry-run""",
)
def dead_letters() -> None:
    """Messages that could not be used: see why, put the cause right, send them again."""


@dead_letters.command(
    "list",
    epilog=f"""{EXIT_CODES}

\b
Examples:
  puntual dead-letters list --reason undecodable --limit 20
  puntual dead-letters list --since 2026-11-26T09:00:00+01:00 --json""",
)
@_filtered
@json_option
def list_(wanted: Filter, kafka: str, prefix: str, as_json: bool) -> None:
    """Show reason, origin, time, size and detail. Never the content: that may be a customer's."""
    found = list(_read(kafka, prefix, wanted))
    out = console()
    for letter in found:
        facts = _facts(letter)
        if as_json:
            say(json.dumps(facts))
        else:
            out.print(Text(f"{facts['at']}  {letter.reason}  {facts['origin']}  {facts['bytes']} bytes", "bold"))
            out.print(Text(f"    {letter.detail}", "dim"))
            if letter.left_out:
                out.print(Text(f"    in part: too large to be kept with its {letter.left_out}", "dim"))
    say(counted(len(found), "dead letter"), err=True)


@dead_letters.command(
    epilog=f"""They stay among the dead letters (Kafka's topics are append-only); sending one twice changes nothing.

{EXIT_CODES}

\b
Examples:
  puntual dead-letters replay --reason too_late --dry-run
  puntual dead-letters replay --topic puntual.orders.v1 --since 2026-11-26T09:00:00+01:00"""
)
@_filtered
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
def replay(wanted: Filter, kafka: str, prefix: str, dry_run: bool) -> None:
    """Send them again: the original bytes and headers, to the topic they came from."""
    found = list(_read(kafka, prefix, wanted))
    records = {topic.under(prefix) for topic in _RECORDS}
    own = [letter for letter in found if letter.topic in records]
    parts = [letter for letter in found if not letter.is_whole and letter.topic not in records]
    letters = [letter for letter in found if letter.is_whole and letter.topic not in records]
    if letters and not dry_run:
        with Publisher(kafka, prefix) as publisher:
            for letter in letters:
                # The key decides; a message without one goes where it was.
                partition = None if letter.key else letter.partition
                publisher.send(letter.topic, letter.key, letter.value, letter.headers, partition)
    say(f"{len(letters):,} {'would be sent' if dry_run else 'sent'} again", err=True)
    if parts:
        say(f"{len(parts):,} left out: they are not whole, or could not be read. Have them published again.", err=True)
    if own:
        say(
            f"{len(own):,} left out: records of a service, which it alone may write. The notifier could not read them;"
            " they stand in their topic, and their next change is read once it is put right.",
            err=True,
        )


def _read(kafka: str, prefix: str, wanted: Filter) -> Iterator[DeadLetter]:
    letters = map(_letter, read_to_end(kafka, DEAD_LETTERS.under(prefix)))
    return islice((letter for letter in letters if _matches(letter, wanted)), wanted.limit)


def _letter(message: Message) -> DeadLetter:
    own = {name: (value or b"").decode(errors="replace") for name, value in message.headers}
    originals = ((name.removeprefix(ORIGINAL), value) for name, value in message.headers if name.startswith(ORIGINAL))
    return DeadLetter(
        own.get("reason", ""),
        own.get("detail", ""),
        own.get("topic", ""),
        _number(own.get("partition", "")),
        _number(own.get("offset", "")),
        Instant(message.timestamp * _MILLISECOND),
        message.key,
        message.value,
        tuple(originals),
        own.get(LEFT_OUT, ""),
        _number(own.get(SIZE, "")) or len(message.value or b""),
        own.get(OFFSETS, ""),
    )


def _number(text: str) -> int:
    """0 where it is none: whoever may write to the topic may write anything."""
    return int(text) if text.isascii() and text.isdecimal() else 0


def _matches(letter: DeadLetter, wanted: Filter) -> bool:
    return (
        wanted.reason in {None, letter.reason}
        and wanted.topic in {None, letter.topic}
        and (wanted.since is None or letter.at >= wanted.since)
    )


def _facts(letter: DeadLetter) -> dict[str, Any]:
    return {
        "reason": letter.reason,
        "origin": f"{letter.topic}/{letter.partition}@{letter.offsets or letter.offset}",
        "at": format_instant(letter.at),
        "bytes": letter.size,
        "detail": letter.detail,
        "left_out": letter.left_out,
    }
