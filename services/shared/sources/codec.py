"""The topic of sources: protobuf ⇄ what workers say of streams, and the records of streams."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote, unquote

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message

from puntual.sources.v1 import source_pb2 as pb
from services.shared.clock import from_timestamp, set_timestamp
from services.shared.instant import SECOND, Instant
from services.shared.sources.model import NONE, Heard, Record, State, Stream, Word
from services.shared.topics import INPUTS

_HEARD, _STREAM = "heard", "stream"


def _arms(message: type[Message] | None) -> Sequence[str]:
    return [arm.name for arm in message.DESCRIPTOR.oneofs_by_name["event"].fields] if message else []


#: "orders" → what events there are, and so for each input topic.
ARMS: Mapping[str, Sequence[str]] = {topic.name.partition(".")[0]: _arms(topic.message) for topic in INPUTS}


def key_of(stream: Stream) -> bytes:
    """The message key of a stream's record."""
    return "/".join((_STREAM, *map(_part, stream))).encode()


def stream_of(key: bytes) -> Stream:
    """The stream whose record has this key. Raises ValueError where it is none."""
    kind, *parts = key.decode().split("/")
    if kind != _STREAM or len(parts) != len(Stream._fields):
        raise ValueError("its key is no stream's; expected stream/source/topic/site")
    return Stream(*map(unquote, parts))


def word_key(word: Word) -> bytes:
    """The message key of what a worker says."""
    return "/".join((_HEARD, *map(_part, (*word.worker.split("/", 1), *word.stream)))).encode()


def is_record(key: bytes | None) -> bool:
    """Whether a message under this key is the record of a stream, or its end."""
    return (key or b"").startswith(f"{_STREAM}/".encode())


def pack_word(word: Word) -> bytes:
    """The same bytes for equal words."""
    service, worker = word.worker.split("/", 1)
    source, topic, site = word.stream
    said = pb.SourceHeard(
        service=service,
        worker=worker,
        source=source,
        topic=topic,
        site=site,
        fulfils=word.fulfils,
        waiting=word.waiting,
    )
    _put_heard(said, word.heard)
    return pb.SourceEntry(heard=said).SerializeToString(deterministic=True)


def pack_record(record: Record) -> bytes:
    """The same bytes for equal records."""
    source, topic, site = record.stream
    said = pb.Source(
        source=source,
        topic=topic,
        site=site,
        state=pb.SourceState.ValueType(record.state),
        rhythm=record.rhythm,
        fulfils=record.fulfils,
        waiting=record.waiting,
        declared=record.declared,
    )
    if record.since:
        set_timestamp(said.since, record.since)
    if record.silent_after:
        said.silent_after.FromMicroseconds(record.silent_after)
    if record.usual_gap:
        said.usual_gap.FromMicroseconds(record.usual_gap)
    _put_heard(said, record.heard)
    return pb.SourceEntry(stream=said).SerializeToString(deterministic=True)


def unpack(value: bytes) -> Word | Record:
    """What a message says. Raises ValueError where it says nothing that can be used."""
    try:
        entry = pb.SourceEntry.FromString(value)
    except DecodeError as error:
        raise ValueError("it is no puntual.sources.v1.SourceEntry") from error
    said: pb.SourceHeard | pb.Source = entry.stream if entry.HasField("stream") else entry.heard
    if not said.source or not said.topic:
        raise ValueError("source and topic must be set")
    stream = Stream(said.source, said.topic, said.site)
    heard = Heard(_instant(said, "heard_until"), _instant(said, "arrived_at")) if said.HasField("heard_until") else None
    if isinstance(said, pb.SourceHeard):
        return Word(f"{said.service}/{said.worker}", stream, heard, tuple(said.fulfils), said.waiting)
    return Record(
        stream,
        said.state or State.LEARNING,
        _instant(said, "since"),
        heard,
        _span(said.silent_after),
        _span(said.usual_gap),
        said.rhythm,
        tuple(said.fulfils),
        said.waiting,
        said.declared,
    )


def _put_heard(said: pb.SourceHeard | pb.Source, heard: Heard | None) -> None:
    if heard is not None:
        set_timestamp(said.heard_until, heard.until)
        set_timestamp(said.arrived_at, heard.arrived_at)


def _instant(said: Message, field: str) -> Instant:
    return from_timestamp(getattr(said, field)) if said.HasField(field) else NONE


def _span(span: Duration) -> int:
    return span.seconds * SECOND + span.nanos // 1_000


def _part(text: str) -> str:
    return quote(text, safe="*")
