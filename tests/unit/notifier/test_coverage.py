"""Schedules follow their file, and holes ahead are counted."""

import asyncio
from pathlib import Path

import pytest

from services.notifier import coverage
from services.notifier.config import Config, load
from services.notifier.coverage import measure, refresh, watch
from services.shared.instant import Instant, parse_instant
from tests.unit.notifier.test_sender import Tally

NOW = parse_instant("2026-12-01T12:00:00+01:00")
DOCUMENT = """
targets: {desk: {channel: console}, ana: {channel: console}, bob: {channel: console}}
schedules:
  all: {zone: Europe/Madrid, fallback: desk, layers: [{rotation: [ana], from: 2026-01-01, at: "09:00"}]}
  week: {zone: Europe/Madrid, fallback: desk, layers: [{rotation: [ana], from: 2026-01-01, at: "09:00",
    hours: {mon-fri: "00:00-24:00"}}]}
  day: {zone: Europe/Madrid, fallback: desk, layers: [{rotation: [ana], from: 2026-01-01, at: "09:00",
    hours: {mon-sun: "09:00-18:00"}}]}
routes: [{name: all, targets: ["on-call:all"]}]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The document."""
    file = tmp_path / "notifier.yaml"
    file.write_text(DOCUMENT)
    return file


def who(config: Config, at: Instant = NOW) -> str:
    """Who is told on the route."""
    return config.plan.routes["all"].on_call["on-call:all"](at)


def test_holes_are_counted_by_how_far_ahead_they_are(file: Path) -> None:
    """On a Tuesday: one schedule has nobody tonight, another nobody at the weekend, one has always somebody."""
    tally = Tally()
    measure((duty.schedule for duty in load(file).on_call.values()), tally, NOW)
    assert tally.gauges == {("uncovered", "24h"): 1, ("uncovered", "7d"): 2}


def test_a_change_of_the_file_is_taken_over(file: Path) -> None:
    """Somebody is ill: the override applies to the routes at once, without a restart."""
    config = load(file)
    assert who(config) == "ana"
    file.write_text(DOCUMENT.replace("rotation: [ana]", "rotation: [bob]", 1))
    assert refresh(file, config) == ""
    assert who(config) == "bob"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("rotation: [ana]", "rotation: [eve]", "'eve' is unknown; write one of ana, bob, desk"),
        ("bob: {channel: console}}", "eve: {channel: console}}", None),
        ("targets: {", "targets: {eve: {channel: console}, ", None),
        ("  day: ", "  night: ", "day is gone; restart the notifier to do without it"),
        ("schedules:", "schedules: [", "is no YAML"),
    ],
)
def test_what_cannot_be_taken_over_leaves_all_as_it_was(file: Path, old: str, new: str, said: str | None) -> None:
    """Targets are those that the notifier runs with, whatever the file says of them by now."""
    config = load(file)
    file.write_text(DOCUMENT.replace(old, new, 1))
    assert (said or "") in refresh(file, config)
    assert bool(refresh(file, config)) == bool(said)
    assert who(config) == "ana"


def test_a_target_that_is_new_needs_a_restart(file: Path) -> None:
    """It has no channel yet, so nobody could be told."""
    config = load(file)
    file.write_text(DOCUMENT.replace("bob: {", "eve: {", 1).replace("rotation: [ana]", "rotation: [eve]", 1))
    assert "'eve' is unknown" in refresh(file, config)
    assert who(config) == "ana"


def put(file: Path, text: str) -> None:
    """All at once, as good editors do: what is being written is empty for a moment, and may be looked at just then."""
    whole = file.with_suffix(".new")
    whole.write_text(text)
    whole.replace(file)


async def test_it_looks_again_and_again_and_says_once_what_is_wrong(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And that it is in order again."""
    monkeypatch.setattr(coverage, "LOOK", 0.01)
    caplog.set_level("INFO")
    config, tally = load(file), Tally()
    watching = asyncio.create_task(watch(file, config, tally, lambda: NOW))
    for text in ("schedules: [", DOCUMENT):
        put(file, text)
        said = len(caplog.messages)
        async with asyncio.timeout(5):
            while len(caplog.messages) == said:  # noqa: ASYNC110 - the log has no event
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert [message.partition(":")[0] for message in caplog.messages] == [
        "schedules stay as they were",
        "schedules are in order again",
    ]
    assert tally.gauges["uncovered", "7d"] == 2
