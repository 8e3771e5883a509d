"""`.ci/lanes`: commands side by side, and at the end what failed in them."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.brokers import ROOT
from tests.processes import wait_for

LANES = ROOT / ".ci" / "lanes"
TESTS = """
import pytest

@pytest.fixture
def broken():
    raise OSError("no broker")

def test_one():
    assert 1 == 2, "one is not two"

def test_two(broken): ...

def test_three():
    pytest.skip("left out")

def test_four(): ...
"""


def summary(shown: str) -> list[str]:
    """What stands at the end."""
    return shown.rpartition("===== how each lane ended\n")[2].splitlines()


def test_what_failed_is_said_at_the_very_end(tmp_path: Path) -> None:
    """Of tests their names and why, of anything else its last lines; of a lane that is well only that it is."""
    (tmp_path / "test_it.py").write_text(TESTS)
    pytest_ = f"cd {tmp_path} && CI=true {sys.executable} -m pytest -ra -p no:cacheprovider -p no:asyncio test_it.py"
    run = subprocess.run(
        [LANES, "well=echo hello", f"tests={pytest_}", "image=seq 30; exit 7"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 1
    assert "hello\n" in run.stdout
    well, tests, *why = [line.partition(" after ")[0] for line in summary(run.stdout)]
    assert (well, tests) == ("well: ok", "tests: FAILED with 1")
    image = why.index("image: FAILED with 7")
    assert why[:image] == [
        "  ERROR test_it.py::test_two - OSError: no broker",
        "  FAILED test_it.py::test_one - AssertionError: one is not two",
        "  assert 1 == 2",
    ]
    assert why[image + 1 :] == [f"  {number}" for number in range(16, 31)]


def test_it_is_well_only_where_every_lane_is() -> None:
    """The exit code says so."""
    assert subprocess.run([LANES, "one=true", "two=true"], check=False, capture_output=True).returncode == 0
    assert subprocess.run([LANES, "one=false", "two=true"], check=False, capture_output=True).returncode == 1


def test_what_is_told_to_stop_says_how_far_it_came_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """As CI does it where time is over."""
    pid = tmp_path / "pid"
    command = f"slow=echo so far; sleep 1000 & echo $! >{pid}; wait"
    run = subprocess.Popen([LANES, command], stdout=subprocess.PIPE, text=True)
    wait_for(lambda: pid.exists() and pid.read_text().endswith("\n"), 60)
    run.send_signal(signal.SIGTERM)
    shown, _ = run.communicate(timeout=60)
    assert run.returncode == 128 + signal.SIGTERM
    assert summary(shown) == ["slow: was stopped", "  so far"]
    wait_for(lambda: not Path(f"/proc/{int(pid.read_text())}").exists(), 60)
