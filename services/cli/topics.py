"""`puntual topics`: the topics as they should be, and as they are."""

import json

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from services.cli.exits import EXIT_CODES, Failure
from services.cli.options import json_option, kafka_option, partitions_option, prefix_option
from services.cli.words import counted
from services.shared.terminal import console, say, write
from services.shared.topics import TOPICS, State, examine, provision


@click.command(
    short_help="Show, create or check the topics.",
    epilog=f"""{EXIT_CODES}

\b
Examples:
  puntual topics                                   # what is there, what should be
  puntual topics --create --replication 3          # create what is missing
  puntual topics --check --json                    # for scripts: ends with 1 unless all is as it should be""",
)
@click.option("--create", is_flag=True, help="Create the topics that are missing; those that exist are never altered.")
@click.option("--check", is_flag=True, help="End with 1 where a topic is missing or differs.")
@click.option(
    "--replication",
    default=1,
    show_default=True,
    type=click.IntRange(1, 7),
    help="Replicas of every topic: of those created; of those that are there, at least.",
)
@kafka_option
@prefix_option
@partitions_option
@json_option
def topics(
    create: bool, check: bool, replication: int, kafka: str, prefix: str, partitions: int, as_json: bool
) -> None:
    """Show, create or check the topics. What exists is compared with what it should be, and never altered."""
    if create:
        created = provision(kafka, prefix, partitions, replication)
        say(f"created {', '.join(created)}" if created else "all topics were there already", err=True)
    state = examine(kafka, prefix, partitions, replication)
    if as_json:
        differences = [difference._asdict() for difference in state.differences]
        said = {"missing": list(state.missing), "differences": differences, "single_replica": list(state.single)}
        write(json.dumps(said, indent=2))
    else:
        console().print(_table(state, prefix))
        if state.single:
            say(
                f"{counted(len(state.single), 'topic')} with one replica only: what its broker loses is lost for good."
                " Fit for trying out; elsewhere use --create --replication 3 before anything is published."
            )
    if check and (state.missing or state.differences):
        missing = [f"{name} is missing; `puntual topics --create` makes it" for name in state.missing]
        raise Failure("\n".join([*missing, *map(str, state.differences)]))


def _table(state: State, prefix: str) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for heading in ("topic", "is", "kept"):
        table.add_column(heading, no_wrap=heading != "is")
    table.add_column("key")
    for topic in TOPICS:
        name = topic.under(prefix)
        wrong = [difference for difference in state.differences if difference.topic == name]
        found = "[red]missing[/]" if name in state.missing else "[green]as it should be[/]"
        if wrong:
            found = (
                "[yellow]" + "; ".join(f"{each.setting} {each.found}, not {each.expected}" for each in wrong) + "[/]"
            )
        table.add_row(name, found, topic.settings["cleanup.policy"], topic.key)
    return table
