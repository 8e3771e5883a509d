"""The `puntual` command."""

import click

from services.cli.answers import ANSWERS
from services.cli.dead_letters import dead_letters
from services.cli.exits import EXIT_CODES, Group
from services.cli.explain import explain
from services.cli.incidents import incidents
from services.cli.judge import judge
from services.cli.on_call import on_call
from services.cli.publish import publish
from services.cli.replay import replay
from services.cli.skip import skip
from services.cli.sources import sources
from services.cli.standards import standards
from services.cli.topics import topics
from services.cli.up import up
from services.cli.watch import watch


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=EXIT_CODES,
)
@click.version_option(package_name="puntual")
def main() -> None:
    """Puntual keeps a company's word: what was promised to whom by when, and whether it was kept."""


for command in (
    up, publish, replay, judge, watch, explain, incidents, on_call, standards, sources, topics, dead_letters, skip,
):  # fmt: skip
    main.add_command(command)

for answer in ANSWERS:
    incidents.add_command(answer)


if __name__ == "__main__":
    main(prog_name="puntual")
