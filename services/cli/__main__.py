"""The `puntual` command."""

import click

from services.cli.exits import EXIT_CODES, Group
from services.cli.judge import judge


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=EXIT_CODES,
)
@click.version_option(package_name="puntual")
def main() -> None:
    """Puntual keeps a company's word: what was promised to whom by when, and whether it was kept."""


for command in (judge,):
    main.add_command(command)


if __name__ == "__main__":
    main()
