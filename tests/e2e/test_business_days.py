"""A city's own due dates, by one calendar: business days as people who live by them reckon."""

import csv
import gzip
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from services.shared.calendars import read_calendars
from services.shared.documents import read_text
from services.shared.fields import Fields
from services.shared.instant import SECOND, from_datetime
from services.shared.public_holidays import public_holidays

STANDARDS = Path(__file__).parents[1] / "examples" / "standards" / "boston311.yaml"
TOLERANCE = 60 * SECOND
#: Types of requests whose targets are business days, but for what the city's data leaves unexplained.
FIT = 0.97


class Fit(NamedTuple):
    """How many targets of a type of requests there are, and how many the calendar finds."""

    targets: Counter[str]
    found: Counter[str]


@pytest.fixture(scope="module")
def fit(data: Path) -> Fit:
    """Over all types whose targets are business days."""
    fields, problems = Fields.of(read_text(STANDARDS), STANDARDS.name)
    boston = read_calendars(fields.section("calendars"), public_holidays)["boston"]
    problems.check()
    with (data / "business_day_fit_by_type.csv").open() as file:
        days = {row["type"]: int(row["N"]) for row in csv.DictReader(file) if float(row["share"]) >= FIT}
    result = Fit(Counter(), Counter())
    with gzip.open(data / "boston311_2015.csv.gz", "rt") as rows:
        for row in csv.DictReader(rows):
            if row["type"] in days and row["target_dt"]:
                opened, target = (
                    from_datetime(datetime.fromisoformat(row[name]).replace(tzinfo=boston.zone))
                    for name in ("open_dt", "target_dt")
                )
                due = boston.add_days(opened, days[row["type"]])
                result.targets[row["type"]] += 1
                result.found[row["type"]] += abs(due - target) <= TOLERANCE
    return result


@pytest.mark.parametrize(
    ("kind", "count"), [("Building Inspection Request", 4_961), ("Electrical", 1_357), ("Plumbing", 473)]
)
def test_every_target_is_found_where_the_data_is_whole(fit: Fit, kind: str, count: int) -> None:
    """Within a minute, over holidays and both changes of the clocks."""
    assert (fit.found[kind], fit.targets[kind]) == (count, count)


def test_nearly_all_targets_are_found(fit: Fit) -> None:
    """Of the types that fit at all: at least 99.5 in a hundred."""
    assert len(fit.targets) >= 24
    assert fit.found.total() / fit.targets.total() >= 0.995
