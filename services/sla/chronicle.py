"""The versions of a company's standards as the log of the topic `standards.v1` has them. Pure.

Whoever has read the same log has the same standards. Of two documents with one version's name the first counts. A
version is in force from when its document says, but never before `LEAD` after it was published, so that no worker
learns of it too late; the first one judges also what was before it.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date

from google.protobuf.message import DecodeError

from puntual.sla.v1.standards_pb2 import Holiday, StandardsVersion
from services.shared.calendars import PublicHolidays
from services.shared.documents import DocumentError
from services.shared.instant import SECOND, Instant
from services.sla.model import NONE
from services.sla.policies import PolicyBook, read_policies
from services.sla.standards import Standards, Version

LEAD = 10 * SECOND
#: Holidays of these years travel with a version; none are known for others.
_YEARS = range(2000, 2061)


def pack_version(text: str, file: str, holidays: PublicHolidays) -> tuple[PolicyBook, bytes]:
    """A document as the topic has it; `file` is for errors only. Raises DocumentError with all its problems."""
    places: dict[str, None] = {}

    def noting(place: str, year: int) -> Mapping[date, str]:
        known = holidays(place, year)
        places[place] = None
        return known

    book = read_policies(text, file, noting)
    message = StandardsVersion(
        document=text,
        holidays=(
            Holiday(place=place, date=day.isoformat(), name=name)
            for place in places
            for year in _YEARS
            for day, name in sorted(holidays(place, year).items())
        ),
    )
    return book, message.SerializeToString(deterministic=True)


def unpack_version(value: bytes) -> tuple[PolicyBook, str]:
    """What `pack_version` packed, and the document. Raises DocumentError."""
    try:
        message = StandardsVersion.FromString(value)
    except DecodeError as error:
        raise DocumentError("a message of the topic is no version; publish with `puntual standards`") from error
    known: defaultdict[tuple[str, int], dict[date, str]] = defaultdict(dict)
    for holiday in message.holidays:
        try:
            day = date.fromisoformat(holiday.date)
        except ValueError:
            raise DocumentError("a version of the topic has a holiday without a date; publish it again") from None
        known[holiday.place, day.year][day] = holiday.name
    book = read_policies(message.document, "the topic of standards", lambda place, year: known.get((place, year), {}))
    return book, message.document


class Chronicle:
    """Takes in the messages of the log, one after the other."""

    def __init__(self, horizon: int | None = None) -> None:
        """`horizon`: as in `Standards`."""
        self._horizon = horizon
        self._documents: dict[str, str] = {}
        self._versions: list[Version] = []

    def add(self, value: bytes, published_at: Instant) -> Version | None:
        """The version in a message; None where one of its name is known. Raises DocumentError."""
        book, document = unpack_version(value)
        if book.version in self._documents:
            return None
        self._documents[book.version] = document
        in_force_from = max(book.in_force_from or NONE, Instant(published_at + LEAD)) if self._versions else NONE
        version = Version(book, in_force_from)
        self._versions.append(version)
        self._versions.sort(key=lambda known: known.in_force_from)
        return version

    def document(self, name: str) -> str | None:
        """That of the version of a name; None: there is none."""
        return self._documents.get(name)

    @property
    def standards(self) -> Standards | None:
        """All versions; None while there is none."""
        return Standards(tuple(self._versions), self._horizon) if self._versions else None
