"""`puntual standards`: a company's standards checked, published and listed; closing days taken from a calendar."""

import asyncio
import json
from datetime import date
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from services.cli.backtest import backtest
from services.cli.exits import EXIT_CODES, Failure, Group
from services.cli.options import FILE, json_option, kafka_option, prefix_option
from services.cli.reading import read_to_end
from services.cli.words import counted
from services.shared.documents import DocumentError, read_text
from services.shared.instant import Instant, format_instant
from services.shared.public_holidays import public_holidays
from services.shared.terminal import console, say, write
from services.shared.topic_log import publish as publish_version
from services.shared.topics import STANDARDS
from services.sla.chronicle import Chronicle, pack_version
from services.sla.closing_days import closing_days
from services.sla.policies import PolicyBook, hints, load_policies
from services.sla.rendering import FORMATS, LANGUAGES, render as render_document

_TODAY = date.today


@click.group(
    cls=Group,
    short_help="Check, try, publish and render the standards.",
    epilog=f"""{EXIT_CODES}

\b
Examples:
  puntual standards check standards.yaml
  puntual standards backtest --events events.jsonl.gz --standards new.yaml --against standards.yaml
  puntual standards publish new.yaml""",
)
def standards() -> None:
    """The standards of a company: what everybody may expect, written down in a file that people can read."""


@standards.command(
    epilog=f"""{EXIT_CODES}

\b
Examples:
  puntual standards check standards.yaml"""
)
@click.argument("file", type=FILE)
def check(file: Path) -> None:
    """Say whether the standards in FILE can be used, and otherwise every mistake with its line and its remedy.

    Beside what cannot be read it finds policies that no case reaches or that contradict themselves, calendars without
    hours, and limits that no calendar can meet. What can be used but is hardly meant is a hint.
    """
    book = load_policies(file)
    for hint in hints(book):
        say(f"{file}: hint: {hint}", err=True)
    say(f"{file}: {_summary(book)}; all is in order")


@standards.command(
    epilog=f"""{EXIT_CODES}

\b
Examples:
  puntual standards publish standards.yaml --kafka kafka-1:9092"""
)
@click.argument("file", type=FILE)
@kafka_option
@prefix_option
def publish(file: Path, kafka: str, prefix: str) -> None:
    """Put the standards in FILE into force, on all workers alike, from the instant they say or at once.

    Clocks that run keep the version they began with unless the document says `apply_to_open: true`. What is published
    stays published: a change is another version.
    """
    text, topic = read_text(file), STANDARDS.under(prefix)
    book, value = pack_version(text, str(file), public_holidays)
    known = _published(kafka, topic).document(book.version)
    if known == text:
        say(f"version {book.version} is published already")
        return
    if known is not None:
        raise Failure(f"{file}: version: {book.version!r} is published with other words; give it another name")
    asyncio.run(publish_version(kafka, topic, book.version, value))
    found = _published(kafka, topic).standards
    entered = found.named(book.version) if found else None
    if entered is None:
        raise Failure(f"version {book.version} is not to be read in {topic} yet; try `puntual standards list`")
    say(f"{_summary(book)}; in force from {_since(entered.in_force_from)}")


@standards.command(
    epilog=f"""{EXIT_CODES}

\b
Examples:
  puntual standards render standards.yaml --language es > expect.html
  puntual standards render standards.yaml --language it --for staff --format md"""
)
@click.argument("file", type=FILE)
@click.option("--language", type=click.Choice(LANGUAGES), default="en", show_default=True, help="Of the document.")
@click.option(
    "--for", "readers", type=click.Choice(["customers", "staff"]), default="customers", show_default=True,
    help="Staff also read how it is measured, warned of and paused.",
)  # fmt: skip
@click.option("--format", "style", type=click.Choice(FORMATS), default="html", show_default=True, help="Of the output.")
def render(file: Path, language: str, readers: str, style: str) -> None:
    """Print the standards in FILE as a document that people read, good enough to put on a wall."""
    write(render_document(load_policies(file), language, style, _TODAY(), for_staff=readers == "staff"))


@standards.command(
    name="list",
    epilog=f"""{EXIT_CODES}

\b
Examples:
  puntual standards list --json | jq -r .[-1].version""",
)
@kafka_option
@prefix_option
@json_option
def list_(kafka: str, prefix: str, as_json: bool) -> None:
    """List the versions that are published, in the order in which they come into force."""
    found = _published(kafka, STANDARDS.under(prefix)).standards
    versions = found.versions if found else ()
    if as_json:
        write(
            json.dumps(
                [
                    {
                        "version": version.name,
                        "in_force_from": format_instant(version.in_force_from) if version.in_force_from else None,
                        "apply_to_open": version.book.apply_to_open,
                        "policies": [policy.name for policy in version.book.policies],
                    }
                    for version in versions
                ],
                indent=2,
            )
        )
        return
    table = Table(box=SIMPLE_HEAD)
    for heading in ("version", "in force from", "open clocks", "policies"):
        table.add_column(heading)
    for version in versions:
        moved = "judged by it, too" if version.book.apply_to_open else "keep theirs"
        names = ", ".join(policy.name for policy in version.book.policies)
        table.add_row(version.name, _since(version.in_force_from), moved, names)
    console().print(table)


@standards.command(
    epilog=f"""{EXIT_CODES}

\b
Examples:
  puntual standards import-calendar closures.ics --years 2026-2027 >> standards.yaml"""
)
@click.argument("file", type=FILE)
@click.option("--years", help="Of which years, for example 2026-2028.  [default: this one and the next]")
def import_calendar(file: Path, years: str | None) -> None:
    """Print the days in an iCalendar FILE (.ics) as the lines of a calendar's `closed:`.

    They are written into the standards, so that whoever reads those sees every day on which nobody works.
    """
    first, last = _years(years)
    days = closing_days(file.read_bytes(), str(file), first, last)
    if not days:
        raise Failure(f"{file}: has no whole days in {first} to {last}; only whole days close an office")
    say("    closed:")
    for day, name in days.items():
        say(f"      {day.isoformat()}: {json.dumps(name, ensure_ascii=False)}")


def _years(text: str | None) -> tuple[int, int]:
    if text is None:
        return _TODAY().year, _TODAY().year + 1
    first, _, last = text.partition("-")
    if not (first.isdecimal() and (last or first).isdecimal()):
        raise Failure(f"--years is {text!r}; write for example 2026 or 2026-2028")
    years = int(first), int(last or first)
    if not 2000 <= years[0] <= years[1] < 2200:  # noqa: PLR2004 - as dates of promises
        raise Failure(f"--years is {text!r}; write years from 2000 to 2199, the first one first")
    return years


def _published(kafka: str, topic: str) -> Chronicle:
    """What workers know, too."""
    chronicle = Chronicle()
    for message in read_to_end(kafka, topic):
        try:
            chronicle.add(message.value or b"", Instant(message.timestamp * 1_000))
        except DocumentError as error:
            say(f"offset {message.offset} is left out: {error}", err=True)
    return chronicle


def _summary(book: PolicyBook) -> str:
    policies, calendars = counted(len(book.policies), "policy"), counted(len(book.calendars), "calendar")
    return f"version {book.version}, {policies}, {calendars}"


def _since(in_force_from: Instant) -> str:
    return format_instant(in_force_from) if in_force_from else "the beginning"


standards.add_command(backtest)
