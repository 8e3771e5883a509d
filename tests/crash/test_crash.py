"""A notifier is killed at every named point, once each. `python -m tests.crash`: by each channel, over each message."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.crash.run import AT_ONCE, Outcome, Run, perform, some_runs


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, real_kafka: str) -> Iterator[Mapping[Run, Future[Outcome]]]:
    """What comes of the runs that were asked for."""
    runs = [run for run in some_runs() if any(item.name.endswith(f"[{run}]") for item in request.session.items)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {run: pool.submit(perform, run, real_kafka) for run in runs}
        pool.shutdown(cancel_futures=True)


@pytest.mark.slow
@pytest.mark.parametrize("run", some_runs(), ids=str)
def test_nothing_is_lost_and_only_what_nobody_could_know_is_repeated(
    outcomes: Mapping[Run, Future[Outcome]], run: Run
) -> None:
    """Wherever the worker dies, breach and resolution come, in this order, and twice only as the table has it."""
    outcome = outcomes[run].result()
    assert not outcome.faults, "\n".join([*outcome.faults, outcome.log])
