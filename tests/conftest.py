"""Fixtures that bring what tests need: brokers and data. What a machine lacks is skipped; with CI=true it fails."""

import contextlib
import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, TypeVar

import hypothesis
import pytest

from services.shared.broker import start_embedded
from services.shared.wire import COMPILED
from tests.brokers import ROOT, Broker, Cluster, Unavailable

C = TypeVar("C", bound=Cluster)

# A busy machine is no defect. Every run tries the same, so that red is never by chance: `make proof` searches further,
# by --hypothesis-profile=search.
hypothesis.settings.register_profile("search", deadline=None)
hypothesis.settings.register_profile("same", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("same")

_prefixes = (f"t{number}." for number in itertools.count(1))


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--compiled`: fail at once unless the code is compiled (`make test-compiled`). `--fuzz-…`: see tests/fuzz."""
    parser.addoption("--compiled", action="store_true", help="insist on compiled code")
    parser.addoption("--fuzz-seconds", type=float, default=60.0, help="for how long doors are fuzzed")
    parser.addoption("--fuzz-seed", default="1", help="what all mutated input follows from")
    parser.addoption("--fuzz-input", default="", help="DOOR#NUMBER: only this input")
    parser.addoption("--container", help="a container that buildah made of the image (`make test-image`)")
    parser.addoption("--freeze", type=int, help="seconds for which Kafka is frozen, instead of 20 (`make proof`)")


def pytest_configure(config: pytest.Config) -> None:
    """Insist on what was asked for."""
    if config.getoption("--compiled") and not COMPILED:
        pytest.exit("the code under test is not compiled: make test-compiled", returncode=1)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Let a run that is told to stop take its brokers with it."""

    def stop(*_: object) -> None:
        # The test that runs now may take what is raised in it for a failure of its own; then it is the last.
        session.shouldstop = "told to stop"
        pytest.exit("told to stop", returncode=143)

    signal.signal(signal.SIGTERM, stop)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The image is tested where there is one."""
    return True if collection_path.name == "image" and not config.getoption("--container") else None


def left_out(reason: str) -> NoReturn:
    """Skip the test for a reason that says what is missing; fail it where nothing may be left out (CI=true)."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI leaves nothing out, but {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def embedded_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap address of the embedded broker, one for the whole run."""
    with start_embedded(tmp_path_factory.mktemp("embedded")) as bootstrap:
        yield bootstrap


@contextlib.contextmanager
def started(brokers: C) -> Iterator[C]:
    """Kafka nodes for the length of a `with` block; the test is left out where this machine cannot run them."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(brokers)
        except Unavailable as unavailable:
            left_out(str(unavailable))
        yield brokers


@pytest.fixture(scope="session")
def real_kafka() -> Iterator[str]:
    """Bootstrap address of an Apache Kafka node, one for the whole run: nobody breaks it."""
    with started(Broker()) as broker:
        yield broker.bootstrap


@pytest.fixture(scope="module")
def node() -> Iterator[Broker]:
    """An Apache Kafka node to be broken; every test leaves it whole.

    It holds the topics of one module: with those of a whole run it takes minutes to come back on a busy machine.
    """
    with started(Broker()) as broker:
        yield broker


@pytest.fixture(params=["embedded_kafka", "real_kafka"])
def kafka(request: pytest.FixtureRequest) -> str:
    """Bootstrap address; the test runs once on each broker."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def prefix() -> str:
    """A topic prefix no other test uses: the brokers are shared, the topics are not."""
    return next(_prefixes)


@pytest.fixture(scope="session")
def data() -> Path:
    """The directory of real data sets (`PUNTUAL_DATA`, by default ../shared/data beside the project)."""
    directory = Path(os.environ.get("PUNTUAL_DATA", ROOT.parent / "shared" / "data"))
    if not directory.is_dir():
        # In CI too: the sets are other people's, and cannot be had everywhere.
        pytest.skip(f"there are no data sets in {directory}; set PUNTUAL_DATA to where they are")
    return directory
