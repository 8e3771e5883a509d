"""The command line, as people type it, without the second that a process of its own would take to start."""

from click.testing import CliRunner

from services.cli.__main__ import main


def typed(kafka: str, prefix: str, *arguments: str) -> str:
    """What `puntual` says to these arguments, with a broker and a topic prefix. Fails where it does."""
    done = CliRunner().invoke(main, [*arguments, "--kafka", kafka, "--prefix", prefix])
    assert done.exit_code == 0, done.output
    return done.stdout
