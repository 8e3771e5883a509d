"""`puntual explain`: why a promise's or a clock's verdict is what it is."""

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import click
import grpc
from google.protobuf.json_format import MessageToDict
from rich.text import Text

from puntual.promises.v1.promise_service_pb2 import GetPromiseRequest
from puntual.promises.v1.promise_service_pb2_grpc import PromiseServiceStub
from puntual.sla.v1.sla_service_pb2 import ExplainClockRequest
from puntual.sla.v1.sla_service_pb2_grpc import SlaServiceStub
from services.cli.exits import EXIT_CODES, Failure, NotFound, Unreachable
from services.cli.options import json_option
from services.promises import codec as promises_codec, explain as promises_explain
from services.promises.model import PromiseKind
from services.shared.explanation import Explanation, Interval, Step
from services.shared.keys import split_key
from services.shared.rpc import OWNER
from services.shared.terminal import console, write
from services.shared.text import refanged
from services.sla.model import Metric

_SECONDS = 10
_WHY_ABSENT = "(not published, not read yet, or set aside: `puntual dead-letters list`)"
_PROMISES = {kind.name.lower() for kind in PromiseKind}
_CLOCKS = {metric.name.lower() for metric in Metric}


@click.command(
    short_help="Say why a verdict is what it is.",
    epilog=f"""{EXIT_CODES}

\b
Examples:
  puntual explain c-7/order_ready/o-1              # a promise: customer/kind/subject
  puntual explain c-7/first_reply/mail-3 --json    # a clock: customer/metric/subject
  puntual explain c-7/resolution/mail-3 --picture why.svg
  puntual explain '~o-1/order_delivered/o-1'       # of events that name no customer""",
)
@click.argument("record_id")
@click.option("--promises", default="127.0.0.1:9111", show_default=True, help="gRPC address of the promises service.")
@click.option("--sla", default="127.0.0.1:9112", show_default=True, help="gRPC address of the sla service.")
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="Draw a clock's last cycle, as SVG.")
@json_option
def explain(record_id: str, promises: str, sla: str, picture: Path | None, as_json: bool) -> None:
    """Print the timeline of a promise or clock, what each event did to it, and why its verdict is what it is.

    Of a clock also every interval that was counted or left out.
    """
    record_id = refanged(record_id)
    try:
        kind = split_key(record_id.encode())[1]
    except ValueError as error:
        raise Failure(str(error)) from error
    if kind in _PROMISES:
        record, explanation, drawn = (*_promise(promises, record_id), "")
    elif kind in _CLOCKS:
        record, explanation, drawn = _clock(sla, record_id)
    else:
        known = ", ".join(sorted(_PROMISES | _CLOCKS))
        raise Failure(f"{record_id!r}: there is no kind {kind!r}; there are {known}")
    if picture:
        if not drawn:
            raise Failure("there is nothing to draw: only a clock that was started and has a policy has a picture")
        picture.write_text(drawn, encoding="utf-8")
    if as_json:
        steps = [step._asdict() for step in explanation.timeline]
        intervals = [interval._asdict() for interval in explanation.intervals]
        told = {**explanation._asdict(), "timeline": steps, "intervals": intervals}
        write(json.dumps({"record": record, "explanation": told}, indent=2))
    else:
        _print(explanation)


def _promise(address: str, record_id: str) -> tuple[dict[str, Any], Explanation]:
    answer = ask(address, PromiseServiceStub, "GetPromise", GetPromiseRequest(promise_id=record_id)).promise
    return MessageToDict(answer), promises_explain.explain(promises_codec.unpack(answer.SerializeToString()))


def _clock(address: str, record_id: str) -> tuple[dict[str, Any], Explanation, str]:
    """The record, its explanation and its picture: the service has the standards it is judged by."""
    answer = ask(address, SlaServiceStub, "ExplainClock", ExplainClockRequest(clock_id=record_id))
    explanation = Explanation(
        answer.headline,
        tuple(Step(step.at, step.what, step.effect, step.event) for step in answer.timeline),
        tuple(answer.reasoning),
        tuple(
            Interval(each.start, each.end, each.length, each.counts, each.why, each.cycle) for each in answer.intervals
        ),
    )
    return MessageToDict(answer.clock), explanation, answer.picture


def ask(address: str, stub: Any, method: str, request: object, *, elsewhere: bool = True) -> Any:  # noqa: ANN401
    """Ask a worker and, where it names the one that can answer, that one."""
    try:
        with grpc.insecure_channel(address) as channel:
            return getattr(stub(channel), method)(request, timeout=_SECONDS)
    except grpc.RpcError as error:
        details = error.details() or error.code().name
        metadata: Any = error.trailing_metadata() or ()  # pairs; the library's types do not say so
        owner = next((value for name, value in metadata if name == OWNER), "")
        if owner and elsewhere:
            return ask(owner, stub, method, request, elsewhere=False)
        if error.code() == grpc.StatusCode.NOT_FOUND:
            raise NotFound(f"{details.removesuffix('.')} {_WHY_ABSENT}.") from error
        if error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
            remedy = "is the service running there? --promises and --sla say where to ask"
            raise Unreachable(f"{address} cannot answer: {details}; {remedy}") from error
        raise Failure(f"{address}: {details}") from error


def _print(explanation: Explanation) -> None:
    out = console()
    out.print(Text(explanation.headline, "bold"))
    out.print()
    for step in explanation.timeline:
        out.print(Text(f"{step.at}  {step.what}"))
        out.print(Text(f"    → {step.effect}"), Text(f"({step.event})", "dim"))
    out.print()
    for line in explanation.reasoning:
        out.print(Text(line))
    for cycle, intervals in groupby(explanation.intervals, lambda interval: interval.cycle):
        of_cycle = f" in cycle {cycle}" if explanation.intervals[-1].cycle > 1 else ""
        out.print()
        out.print(f"Counted (+) and left out{of_cycle}:")
        for each in intervals:
            line = f"{'+' if each.counts else ' '} {each.start} to {each.end}  {each.length}: {each.why}"
            out.print(Text(line, "" if each.counts else "dim"))
