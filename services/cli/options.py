"""Options that several commands share."""

import getpass
import re
from pathlib import Path

import click

from services.shared.clock import wall_clock
from services.shared.duration import parse_duration
from services.shared.instant import Instant, parse_instant


class InstantType(click.ParamType):
    """A time with its offset on the command line."""

    name = "instant"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Instant:
        """Read the time; click's usage error says what is allowed."""
        if isinstance(value, int):
            return Instant(value)
        try:
            return parse_instant(str(value))
        except ValueError as error:
            self.fail(f"{error}; write for example 2026-11-26T17:00:00+01:00", param, ctx)


class AddressesType(click.ParamType):
    """Addresses on the command line: "host:port,host:port"."""

    name = "host:port,…"
    _ONE = re.compile(r"([^\s,:\[\]]+|\[[\da-fA-F:]+\])(:\d{1,5})?")

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See that clients will understand it; whether anybody answers there is another question."""
        text = str(value)
        if not all(self._ONE.fullmatch(each) for each in text.split(",")):
            self.fail(f"{text!r} is no address; write for example kafka-1:9092,kafka-2:9092", param, ctx)
        return text


class SpanType(click.ParamType):
    """A duration on the command line, in microseconds: more than nothing, and not more than this."""

    name = "duration"

    def __init__(self, most: str) -> None:
        self._most = most

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            span = parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not 0 < span <= parse_duration(self._most):
            self.fail(f"{value} is not more than nothing and at most {self._most}", param, ctx)
        return span


class SinceType(click.ParamType):
    """The beginning of what is asked for on the command line: how long ago, or an instant."""

    name = "duration|instant"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Instant:
        """As an instant; click's usage error says what is allowed."""
        text = str(value)
        try:
            return Instant(wall_clock() - parse_duration(text)) if "-" not in text else parse_instant(text)
        except ValueError:
            self.fail(
                f"{text!r} is neither a duration nor an instant; write for example 24h or 2026-11-26T17:00:00+01:00",
                param,
                ctx,
            )


INSTANT = InstantType()
SINCE = SinceType()
ADDRESSES = AddressesType()
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

#: Where commands look unless told otherwise.
KAFKA, PREFIX = "127.0.0.1:9092", "puntual."

kafka_option = click.option(
    "--kafka",
    type=ADDRESSES,
    envvar="PUNTUAL_KAFKA",
    default=KAFKA,
    show_default=True,
    show_envvar=True,
    help="Where Kafka is.",
)
prefix_option = click.option(
    "--prefix",
    envvar="PUNTUAL_TOPIC_PREFIX",
    default=PREFIX,
    show_default=True,
    show_envvar=True,
    help="What topic names begin with.",
)
partitions_option = click.option(
    "--partitions",
    envvar="PUNTUAL_PARTITIONS",
    default=12,
    show_default=True,
    show_envvar=True,
    type=click.IntRange(1, 1000),
    help="Partitions of every topic.",
)
rules_option = click.option(
    "--rules",
    envvar="PUNTUAL_RULES",
    type=FILE,
    show_envvar=True,
    help="Rules to judge by instead of the built-in ones.",
)
mapping_option = click.option(
    "--mapping",
    "mapping_path",
    required=True,
    type=FILE,
    help="How rows become events (YAML); `puntual judge --help` shows one.",
)
as_of_option = click.option(
    "--as-of", required=True, type=INSTANT, help="The instant to judge at, with offset: 2016-01-13T00:00:00-05:00."
)
shuffle_option = click.option("--shuffle", type=int, metavar="SEED", help="Take the events in random order.")
repeat_option = click.option(
    "--repeat", type=click.FloatRange(0, 1), default=0.0, help="Share of the events that comes twice."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")


def login() -> str:
    """Who is at the keyboard. A container may not know either."""
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise click.UsageError("this machine does not know who you are; say --by NAME") from error
