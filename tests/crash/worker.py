"""A notifier that kills itself at a point, the N-th time it gets there: `python -m tests.crash.worker POINT N`."""

import os
import signal
import sys
from collections.abc import Iterator
from itertools import count

from services.notifier.app import app
from services.notifier.settings import NotifierSettings
from services.shared.service import main
from tests.crash.points import POINTS, Reached


def dying(times: int) -> Reached:
    """Ends the process without a goodbye when it is called for the n-th time."""
    calls: Iterator[int] = count(1)

    def reached() -> None:
        if next(calls) == times:
            os.kill(os.getpid(), signal.SIGKILL)

    return reached


if __name__ == "__main__":
    if arm := POINTS[sys.argv[1]].arm:
        arm.wrap(dying(int(sys.argv[2])))
    main("notifier", NotifierSettings, app)
