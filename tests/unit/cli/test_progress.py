"""What people see while long work goes on."""

import time
from collections.abc import Iterator

import pytest

from services.cli.progress import track


def slowly(items: int) -> Iterator[int]:
    for item in range(items):
        time.sleep(0.0005)
        yield item


def test_a_bar_says_what_how_far_how_fast_and_how_long_it_will_take(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, so that stdout stays for results; and no item is lost."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    assert list(track(slowly(2000), 4000, "reading rows")) == [*range(2000)]
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "reading rows" in printed.err
    assert "500/4000" in printed.err, "how far"
    assert "/s" in printed.err, "how fast"
    assert "2000/2000" in printed.err, "at the end the total is what there was"
    assert "00:0" in printed.err, "how long"


@pytest.mark.parametrize("total", [0, -1])
def test_nothing_to_do_is_no_error(total: int) -> None:
    """An empty file has not even a header."""
    assert list(track(iter(()), total, "reading rows")) == []
