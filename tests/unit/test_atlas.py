"""The atlas of doors: every function that reads what comes from outside, and what guards it.

Whoever writes another one is asked by a failing test to say here what keeps it from ending, freezing or bloating a
process: what bounds that which it reads, and what becomes of what cannot be read.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

SERVICES = Path(__file__).parents[2] / "services"
#: Names whose mere mention lets something in.
NAMES = frozenset({
    "FromString", "ParseFromString", "MergeFromString", "ParseDict", "loads", "safe_load", "get_single_node",
    "from_ical", "read_text", "read_bytes", "getmany", "getone", "environ", "next_batch",
})  # fmt: skip
#: Likewise, of names that mean other things elsewhere.
PHRASES = frozenset({
    "open", "gzip.open", "file.open", "csv.reader", "consumer.poll", "request.post", "request.read", "content.read",
    "msgspec.json.Decoder",
})  # fmt: skip

#: What the guards are.
BYTES = "at most Limits.max_bytes, texts and names bounded; Unusable → dead letter"
PARSED = "of bytes that its callers bound; Unusable"
LOG = "a topic's reader sets aside and counts what it raises"
KEEPER = "of a records topic that only this service writes; recovery keeps what it cannot read"
OWN = "of bytes that this process packed itself"
FILE = "read_text: at most 256 kB, UTF-8; parse_document: no aliases; DocumentError"
SHIPPED = "a file of this package"
CLI = "the command's own user gives it; a Failure or DocumentError ends the command"
CALL = "gRPC bounds a message at 4 MB; the interceptor turns what is raised into a code"
DEVELOPMENT = "only on this machine, by `make run`"

#: Where something is read → its guard.
ATLAS: Mapping[str, str] = {
    "cli/answers.py:_answer": CLI,
    "cli/answers.py:_ids": CLI,
    "cli/backtest.py:_lines": CLI,
    "cli/backtest.py:_opened": CLI,
    "cli/changes.py:_change": CLI,
    "cli/history.py:_number_rows": CLI,
    "cli/history.py:_open": CLI,
    "cli/history.py:_rows": CLI,
    "cli/incidents.py:list_": CLI,
    "cli/incidents.py:show": CLI,
    "cli/judge.py:_verdict": OWN,
    "cli/processes.py:Child._tail": DEVELOPMENT,
    "cli/processes.py:_start": DEVELOPMENT,
    "cli/reading.py:_rest": CLI,
    "cli/reading.py:follow": CLI,
    "cli/silences.py:silences": CLI,
    "cli/skip.py:_read": CLI,
    "cli/standards.py:import_calendar": CLI,
    "cli/verdicts.py:labels": OWN,
    "notifier/acknowledging.py:Acknowledging._hear": OWN,
    "notifier/answering.py:_posted": "aiohttp bounds the body, parse_qsl its fields, a timeout the wait; 4xx",
    "notifier/audit_search.py:AuditSearch.take": LOG,
    "notifier/channels/web.py:Answer.json": "of the beginning of an answer; what is no JSON is none",
    "notifier/channels/web.py:_beginning": "only the first bytes of an answer are read",
    "notifier/codec.py:unpack": KEEPER,
    "notifier/on_call.py:_content": "at most 1 MB; read_ical; DocumentError",
    "notifier/page.py:_css": SHIPPED,
    "notifier/page.py:words": SHIPPED,
    "notifier/rpc.py:_Incidents.CreateSilence": CALL,
    "notifier/rpc.py:_Incidents.EndSilence": CALL,
    "notifier/rpc.py:_Incidents.GetIncident": CALL,
    "notifier/rpc.py:_Incidents.ListAudit": CALL,
    "notifier/rpc.py:_Incidents.ListIncidents": CALL,
    "notifier/rpc.py:_Incidents.ListSilences": CALL,
    "notifier/rpc.py:_Incidents.Respond": CALL,
    "notifier/rpc.py:_Incidents.TestRoute": CALL,
    "notifier/rpc.py:_Incidents.WatchIncidents": CALL,
    "notifier/rpc.py:_Incidents.__init__": OWN,
    "notifier/sender.py:_unsettled": OWN,
    "notifier/silences_log.py:unpack_silence": LOG,
    "notifier/wording.py:_words": SHIPPED,
    "promises/codec.py:_unpacked": KEEPER,
    "promises/rpc.py:_Promises.GetPromise": CALL,
    "promises/rpc.py:_Promises.ListPromises": CALL,
    "promises/rpc.py:_Promises.WatchPromises": CALL,
    "promises/rpc.py:_Promises.__init__": OWN,
    "shared/broker.py:_tail": DEVELOPMENT,
    "shared/documents.py:parse_document": FILE,
    "shared/documents.py:read_text": FILE,
    "shared/engine/assignor.py:LaneAssignor.on_assignment": "of the group's leader, which runs this code",
    "shared/engine/fetch.py:Batches._open": "room for so many bytes a fetch; what cannot be read is set aside",
    "shared/engine/record_batches.py:RecordBatches.next_batch": "as Batches._open, which calls it",
    "shared/fields.py:Secret.reveal": "a secret of the operator; ValueError, which names the place only",
    "shared/ical.py:read_ical": "at most 1 MB, 5,000 events and 300,000 steps of repetition; DocumentError",
    "shared/ingress.py:_Events.PublishEvents": CALL,
    "shared/opener.py:Opener._plain": BYTES,
    "shared/opener.py:_parsed_body": BYTES,
    "shared/parsing.py:_fits": PARSED,
    "shared/parsing.py:load_object": "at most 1,000 names, each once; what nests too deeply is a ValueError",
    "shared/parsing.py:parse_bytes": PARSED,
    "shared/parsing.py:parse_fields": PARSED,
    "shared/past.py:read_past": LOG,
    "shared/service.py:main": "handed to settings.read",
    "shared/settings.py:read": "settings of the operator; every bad one is said, and the start ends",
    "shared/sources/codec.py:unpack": LOG,
    "shared/sources/orphans.py:_Answers.ListOrphans": CALL,
    "shared/topic_log.py:TopicLog.read": LOG,
    "shared/topic_log.py:TopicLog.read_to_end": LOG,
    "shared/topic_log.py:read_all": LOG,
    "sla/chronicle.py:unpack_version": LOG,
    "sla/codec.py:_unpacked": KEEPER,
    "sla/rendering.py:_words": SHIPPED,
    "sla/rpc.py:_Clocks.ExplainClock": CALL,
    "sla/rpc.py:_Clocks.GetClock": CALL,
    "sla/rpc.py:_Clocks.ListClocks": CALL,
    "sla/rpc.py:_Clocks.WatchClocks": CALL,
    "sla/rpc.py:_Clocks.__init__": OWN,
}


def doors(source: str) -> Iterator[str]:
    """The functions of a module that let something in, by their full names."""
    yield from _doors(ast.parse(source), "<module>")


def _doors(node: ast.AST, name: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        inner = name
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = child.name if name == "<module>" else f"{name}.{child.name}"
        if _lets_in(child):
            yield inner
        if isinstance(child, ast.ClassDef) and any(ast.unparse(base).endswith("Servicer") for base in child.bases):
            yield from (f"{inner}.{method}" for each in child.body if (method := _answers(each)))
        yield from _doors(child, inner)


def _lets_in(node: ast.AST) -> bool:
    if not isinstance(node, ast.Attribute | ast.Name) or not isinstance(node.ctx, ast.Load):
        return False
    phrase = ast.unparse(node)
    # What `documents` reads is counted there, not wherever it is called.
    return phrase in PHRASES or (phrase.rpartition(".")[2] in NAMES and phrase != "read_text")


def _answers(node: ast.AST) -> str:
    """The name of a method of a gRPC service; empty: it is none."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return ""
    return node.name if "request" in {arg.arg for arg in node.args.args} else ""


def all_doors() -> set[str]:
    """Those of the services."""
    return {
        f"{file.relative_to(SERVICES)}:{name}"
        for file in SERVICES.rglob("*.py")
        for name in doors(file.read_text(encoding="utf-8"))
    }


def test_whatever_reads_from_outside_names_its_guard() -> None:
    """A new reader is missing here until somebody has thought about it, and one that is gone is struck off."""
    found = all_doors()
    unguarded, gone = sorted(found - ATLAS.keys()), sorted(ATLAS.keys() - found)
    assert not unguarded, "say in ATLAS what guards them"
    assert not gone, "strike them off"


@pytest.mark.parametrize(
    "source",
    [
        "def read(value):\n    return Order.FromString(value)",
        "def read(value):\n    order.ParseFromString(value)",
        "def read(value):\n    return json.loads(value)",
        "def read(value):\n    return map(Order.FromString, value)",
        "def read(file):\n    with open(file) as opened:\n        return opened",
        "def read(file):\n    return Path(file).read_bytes()",
        "def read():\n    return os.environ['X']",
        "async def read():\n    return await consumer.getmany()",
        "def read(file):\n    return csv.reader(file)",
        "def read(text):\n    return yaml.safe_load(text)",
        "def read(text):\n    return Calendar.from_ical(text)",
        "def read(path):\n    return (gzip.open if path.suffix else open)(path)",
        "def read(text):\n    return msgspec.json.Decoder(dict).decode(text)",
    ],
)
def test_a_reader_is_recognised(source: str) -> None:
    """However it reads."""
    assert set(doors(source)) == {"read"}


def test_the_methods_of_a_service_are_recognised() -> None:
    """They read what callers send."""
    source = "class S(OrderServiceServicer):\n    async def Get(self, request, context):\n        return request"
    assert set(doors(source)) == {"S.Get"}
