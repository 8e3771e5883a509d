"""What the oracle found."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

#: lost: something due is not there. false: said without ground, or too early. double: said twice. wrong: the rest.
Kind = Literal["lost", "false", "double", "wrong"]


class Finding(NamedTuple):
    """One thing that must not be."""

    kind: Kind
    where: str
    what: str

    def __str__(self) -> str:
        """For people."""
        return f"{self.kind}: {self.where}: {self.what}"


@dataclass
class Report:
    """Everything about one run's logs."""

    findings: list[Finding] = field(default_factory=list)
    records: int = 0
    writes: int = 0
    #: Writes by what they announce.
    announced: Counter[str] = field(default_factory=Counter)
    #: Seconds from when something could be announced by the clock to when it stood in Kafka.
    lateness: list[float] = field(default_factory=list)
    #: Announced by the clock while a fact that forbids it was in Kafka, but for less than `FRESH`: allowed, taken back.
    hasty: int = 0
    dead_letters: int = 0
    #: Dead letters that stand there again after a crash: allowed.
    repeated_dead_letters: int = 0

    def count(self, kind: Kind) -> int:
        """How many findings of a kind."""
        return sum(finding.kind == kind for finding in self.findings)

    def late(self) -> Sequence[float]:
        """Median and longest lateness, in seconds."""
        ordered = sorted(self.lateness) or [0.0]
        return ordered[len(ordered) // 2], ordered[-1]
