"""Runs a rival over events that are in the log already, and takes down how far it is."""

import asyncio
import json
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.child import environment
from benchmarks.rivals.judge import Task
from benchmarks.worker import STALLED, Cost, Sample


class Stopped(Exception):
    """It did not get to the end."""


def run(module: str, python: str, code: Path | None, task: Task) -> Cost:
    """What an event costs a rival, from its first report on. Raises Stopped."""
    with TemporaryDirectory() as directory:
        task = task._replace(directory=directory)
        samples = asyncio.run(_samples(module, python, code, task))
    if not samples or samples[-1].events < task.events:
        raise Stopped(f"{module} stopped before it was done; run it by itself to see why.")
    return Cost.between(samples[0], samples[-1])


async def _samples(module: str, python: str, code: Path | None, task: Task) -> list[Sample]:
    command = [python, "-P", "-m", f"benchmarks.rivals.{module}", json.dumps(task._asdict())]
    process = await asyncio.create_subprocess_exec(*command, env=environment(code), stdout=PIPE, stderr=DEVNULL)
    assert process.stdout is not None
    samples: list[Sample] = []
    try:
        while not samples or samples[-1].events < task.events:
            line = await asyncio.wait_for(process.stdout.readline(), STALLED)
            if not line:
                break
            if line.startswith(b"seen "):
                _, events, cpu, wall = line.split()
                samples.append(Sample(int(events), float(cpu), float(wall)))
    except TimeoutError:
        pass
    finally:
        process.kill()
        await process.wait()
    return samples
