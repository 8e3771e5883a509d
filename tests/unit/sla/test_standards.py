"""The standards document: what it means, and what it says when it means nothing."""

from pathlib import Path

import pytest

from services.shared.documents import DocumentError
from services.sla.model import Metric, Standard
from services.sla.standards import BUILT_IN, load_standards, parse_standards
from tests.unit.sla.builders import MINUTE

WHOLE = """
version: "3"
standards:
  - metric: first_reply
    name: answered within the hour
    limit: 1h
    preferred: 20min
    warning: 15min
    grace: 2min
"""


def test_the_built_in_standards_time_every_metric() -> None:
    """First reply 24 h (preferred 2 h), callback 2 h, customer told 15 min, each with warning and grace."""
    standards = load_standards(BUILT_IN)
    assert {metric: (one.limit // MINUTE, one.preferred // MINUTE) for metric, one in standards.metrics.items()} == {
        Metric.FIRST_REPLY: (24 * 60, 2 * 60),
        Metric.CALLBACK_RETURNED: (2 * 60, 0),
        Metric.CUSTOMER_TOLD: (15, 0),
    }
    assert all(0 < one.warning < one.limit and one.grace > 0 for one in standards.metrics.values())


def test_a_document_becomes_standards() -> None:
    """Every field arrives, in microseconds."""
    standards = parse_standards(WHOLE, "my.yaml", horizon=9)
    expected = Standard("answered within the hour", 60 * MINUTE, 20 * MINUTE, 15 * MINUTE, 2 * MINUTE)
    assert standards == ("3", {Metric.FIRST_REPLY: expected}, 9)


def test_preferred_warn_and_grace_may_be_left_out() -> None:
    """A limit alone is a standard."""
    text = "version: x\nstandards: [{metric: customer_told, name: told, limit: 90s}]"
    assert parse_standards(text, "my.yaml").metrics == {Metric.CUSTOMER_TOLD: Standard("told", 90_000_000)}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('version: "3"', "", "my.yaml: version: is missing; add it"),
        ('"3"', "3", 'my.yaml: version: 3 is no text; write it in quotes: version: "3"'),
        ("limit: 1h", "limits: 1h", "standards[0].limits: is no field; write one of grace, limit, metric, name"),
        ("limit: 1h", "limit: soon", "standards[0].limit: 'soon' is no duration; write for example \"90s\""),
        ("    limit: 1h\n", "", "standards[0].limit: is missing; write a duration, for example 2h"),
        ("limit: 1h", "limit: 0s", "standards[0].limit: '0s' is no time at all; write a duration above zero"),
        (
            "preferred: 20min",
            "preferred: 1h",
            "standards[0].preferred: '1h' is not below the limit; write a shorter",
        ),
        ("warning: 15min", "warning: 2h", "standards[0].warning: '2h' is not below the limit; write a shorter"),
        ("first_reply", "last_reply", "standards[0].metric: 'last_reply' is no metric; write one of first_reply, "),
        ("name: answered within the hour", "name: ''", "standards[0].name: '' is no text; write it in quotes"),
        ("  - metric", "    metric", "standards: {'metric': 'first_reply', "),
        (WHOLE, "- 1", "my.yaml: [1] has no fields; write standards, version"),
        (WHOLE, "standards: [", "my.yaml: line 1, column 13: is no YAML; look there for a missing quote"),
        (
            "    grace:",
            "    limit: 3h\n    grace:",
            "my.yaml: line 9, column 5: is a key that line 6 gives already; keep",
        ),
        (WHOLE, WHOLE + WHOLE.partition("standards:")[2], "standards[1].metric: is already timed above; keep one"),
    ],
)
def test_a_mistake_is_told_with_file_place_value_and_remedy(old: str, new: str, message: str) -> None:
    """One change to a good document, and the error people read."""
    with pytest.raises(DocumentError) as error:
        parse_standards(WHOLE.replace(old, new), "my.yaml")
    assert message in str(error.value)
    assert str(error.value).startswith("my.yaml: ")


def test_a_file_that_is_not_there_is_told_by_name(tmp_path: Path) -> None:
    """No traceback, but the path."""
    with pytest.raises(DocumentError, match=r"none\.yaml: cannot be read: .*; name a readable file"):
        load_standards(tmp_path / "none.yaml")
