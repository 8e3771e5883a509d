"""A notifier is killed at some points, once each. `python -m tests.crash`: all, each channel, each message."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.crash.run import AT_ONCE, Outcome, Run, perform, runs_of

#: The longest first.
_SOME = runs_of((
    "broker_killed", "takeover",
    "promise_read", "dispatch_written", "dispatch_read", "incident_heard",
    "attempt_written", "attempt_heard", "request_under_way", "answer_heard",
    "end_decided", "end_written", "end_uncommitted", "refusal_decided", "refusal_written",
    "resolution_decided", "recovery_read",
))  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, real_kafka: str) -> Iterator[Mapping[Run, Future[Outcome]]]:
    """What comes of the runs that were asked for."""
    runs = [run for run in _SOME if any(item.name.endswith(f"[{run}]") for item in request.session.items)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {run: pool.submit(perform, run, real_kafka) for run in runs}
        pool.shutdown(cancel_futures=True)


@pytest.mark.slow
@pytest.mark.parametrize("run", _SOME, ids=str)
def test_nothing_is_lost_and_only_what_nobody_could_know_is_repeated(
    outcomes: Mapping[Run, Future[Outcome]], run: Run
) -> None:
    """Wherever the worker dies, breach and resolution come, in this order, and twice only as the table has it."""
    outcome = outcomes[run].result()
    assert not outcome.faults, "\n".join([*outcome.faults, outcome.log])
