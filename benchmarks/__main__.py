"""`make bench`: what Puntual needs and how fast it is, on a real Kafka, one figure beside its target.

    python -m benchmarks [NAME ...] [--short] [--json FILE] [--compiled DIR] [--rivals PYTHON] [--minutes N]

Each benchmark has a Kafka of its own, started for it. Without names all of them run, one after the other.
"""

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks import burst, delay, growth, memory, recovery, scale_out, soak, standards, telling, throughput
from benchmarks.report import Row, line, markdown
from benchmarks.site import Site
from tests.brokers import Broker

BENCHES: Mapping[str, Callable[[Site], Iterator[Row]]] = {
    "throughput": throughput.measure,
    "delay": delay.measure,
    "burst": burst.measure,
    "memory": memory.measure,
    "recovery": recovery.measure,
    "growth": growth.measure,
    "scale-out": scale_out.measure,
    "standards": standards.measure,
    "telling": telling.measure,
    "soak": soak.measure,
}


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure, beside what is aimed at.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(BENCHES)}; none: all")
    parser.add_argument("--short", action="store_true", help="less of everything, for trying out: no figures to quote")
    parser.add_argument("--minutes", type=float, help="how long to soak: 30, short 2")
    parser.add_argument("--compiled", type=Path, help="what `make compile` made; else everything runs interpreted")
    parser.add_argument("--rivals", type=Path, help="a Python that has requirements-bench.lock; else only Faust")
    parser.add_argument("--json", type=Path, help="where to write the figures as well")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in BENCHES]:
        parser.error(f"there is no benchmark {unknown[0]}; there are {', '.join(BENCHES)}")
    rows: list[tuple[str, Row]] = []
    failed: list[str] = []
    for name in options.names or BENCHES:
        print(f"{name} ...", flush=True)
        try:
            for row in _measured(name, options):
                rows.append((name, row))
                print(f"  {line(row)}", flush=True)
        except Exception:  # noqa: BLE001 - what the others measure is not lost
            failed.append(name)
            traceback.print_exc()
    print(f"\n{markdown([row for _, row in rows])}")
    if options.json:
        options.json.write_text(json.dumps([{"benchmark": name, **_plain(row)} for name, row in rows], indent=2))
    if failed:
        sys.exit(f"Without result: {', '.join(failed)}.")


def _measured(name: str, options: argparse.Namespace) -> Iterator[Row]:
    with Broker() as broker:
        site = Site(
            kafka=broker.bootstrap,
            code=options.compiled.resolve() if options.compiled else None,
            # Not resolved: the Python of an environment is a link out of it.
            rivals=options.rivals.absolute() if options.rivals else None,
            short=options.short,
            minutes=options.minutes or (2 if options.short else 30),
        )
        yield from BENCHES[name](site)


def _plain(row: Row) -> dict[str, object]:
    return {**row._asdict(), "ratio": row.ratio, "holds": row.holds}


if __name__ == "__main__":
    main()
