"""`puntual publish`: JSON lines into Kafka."""

from typing import Any, BinaryIO

import click

from services.cli.exits import EXIT_CODES, Failure
from services.cli.inputs import EVENTS
from services.cli.options import kafka_option, prefix_option
from services.cli.words import counted
from services.shared.errors import Unusable
from services.shared.parsing import load_object
from services.shared.publisher import Publisher
from services.shared.terminal import say
from services.shared.topics import Topic


@click.command(
    short_help="Publish events: JSON lines into Kafka.",
    epilog=f"""{EXIT_CODES}

\b
Examples:
  puntual publish events.jsonl
  echo '{{"event_id": "1", "occurred_at": "'$(date -u +%FT%TZ)'", "subject_id": "o-1", "ready": {{}}}}' |
    puntual publish --topic orders
  jq -c .events[] export.json | puntual publish --topic callbacks -""",
)
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--topic", type=click.Choice(list(EVENTS)), help='The topic of lines that name none ("topic": "orders").')
@kafka_option
@prefix_option
def publish(file: BinaryIO, topic: str | None, kafka: str, prefix: str) -> None:
    """Publish events: one JSON object a line, in protobuf's JSON mapping, from FILE or standard input.

    Each line is an OrderEvent, CallbackEvent, AppointmentEvent, ContactEvent or CustomerEvent, with "topic" beside its
    fields. Lines that cannot be used are reported with their number and the remedy; all others are sent, and then the
    command ends with 1.
    """
    sent = bad = 0
    with Publisher(kafka, prefix) as publisher:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                publisher.publish_json(*_event(line, topic))
                sent += 1
            except (Unusable, ValueError) as error:
                bad += 1
                say(f"line {number}: {error}", err=True)
    say(f"{sent:,} published", err=True)
    if bad:
        raise Failure(f"{counted(bad, 'line')} could not be published; put them right and send those again")


def _event(line: bytes, default: str | None) -> tuple[Topic, dict[str, Any]]:
    """The topic and the event on a line. Raises ValueError with the remedy."""
    event = load_object(line)
    topic = event.pop("topic", default)
    if not isinstance(topic, str) or topic not in EVENTS:
        named = "names no topic" if topic is None else "names a topic that is none"
        raise ValueError(f'the line {named}; add "topic" or --topic: one of {", ".join(EVENTS)}')
    return EVENTS[topic], event
