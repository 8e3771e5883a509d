"""How a command ends: one clear paragraph on stderr, and an exit code that scripts can use."""

import click
from kafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError

from services.shared.errors import KafkaUnreachable, PuntualError
from services.shared.text import visible

OK, FAILED, USAGE, NOT_FOUND, UNREACHABLE = range(5)

EXIT_CODES = """\b
Exit codes: 0 done; 1 bad input, or something failed; 2 wrong usage; 3 not found;
4 Kafka or the service cannot be reached."""

#: Of the commands that judge a history.
OF_HISTORIES = """\b
Exit codes:
  0  judged, and nothing is odd; values that a mapping names and no row holds are only said
  1  a verdict unlike the known outcome, rows that give no event or contradict each other,
     events that cannot be used, no event or nothing to judge, a file that cannot be read
  2  wrong usage
  4  Kafka or the service cannot be reached"""


class Failure(click.ClickException):
    """Something is wrong and the message says what, where, and how to put it right."""

    exit_code = FAILED


class NotFound(Failure):
    """What was asked for does not exist."""

    exit_code = NOT_FOUND


class Unreachable(Failure):
    """Kafka or a service did not answer."""

    exit_code = UNREACHABLE


class Group(click.Group):
    """A group whose commands end without a traceback on every error that people can do something about.

    What an error quotes directs no terminal.
    """

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; turn what libraries raise into what people read."""
        try:
            return self._invoked(ctx)
        except click.ClickException as error:
            error.message = visible(error.message, "\n")
            raise

    def _invoked(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KafkaUnreachable as error:
            raise Unreachable(str(error)) from error
        except PuntualError as error:
            raise Failure(str(error)) from error
        except (KafkaConnectionError, KafkaTimeoutError) as error:
            raise Unreachable(f"Kafka does not answer: {error}. Is it running, and is PUNTUAL_KAFKA right?") from error
        except KafkaError as error:
            raise Failure(f"Kafka refused: {error}") from error
