"""A target's own words for its messages: Jinja templates of a small, tame kind. Pure.

A template can fill in, choose (`if`) and say something of each item (`for line in lines`). It cannot call, calculate,
set, include or nest loops, so that what it costs is bounded by its length; what it says is cut at `LONGEST`. It is
judged by what it is made of before it is compiled, and tried on samples.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

#: Characters: of a template, and of what becomes of it.
MAX_TEMPLATE, LONGEST = 4_000, 10_000
#: None makes a text much longer, or takes longer than the text is long.
FILTERS = frozenset({"capitalize", "default", "length", "lower", "trim", "truncate", "upper"})
_LOOP = frozenset({"first", "index", "last", "length"})
_ALLOWED = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Const, nodes.Name, nodes.Getattr, nodes.Getitem, nodes.If,
    nodes.For, nodes.Filter, nodes.Keyword, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not,
    nodes.CondExpr,
)  # fmt: skip
_BREAKS = str.maketrans("\n\t", "  ")


class Unfit(ValueError):
    """The template cannot be used: what is wrong with it, and after a semicolon how to put it right."""


class OwnWords:
    """A template that was found fit. The first line of what it says is the subject, the rest the text."""

    def __init__(self, template: str, samples: Sequence[Mapping[str, object]]) -> None:
        """`samples`: what it may be filled in with, all that it can speak of; among it `lines`. Raises Unfit."""
        if len(template) > MAX_TEMPLATE:
            raise Unfit(f"has {len(template):,} characters; write at most {MAX_TEMPLATE:,}")
        if not template.translate(_BREAKS).isprintable():
            raise Unfit("has characters that cannot be seen; write only such as can, and line breaks")
        try:
            tree = _ENVIRONMENT.parse(template)
            _judge(tree, samples[0])
            self._template: Template = _ENVIRONMENT.from_string(tree)
        except TemplateSyntaxError as error:
            raise Unfit(f"is no template: {error.message} in its line {error.lineno}; correct it") from None
        except (RecursionError, SyntaxError, MemoryError):  # the parser's, the compiler's
            raise Unfit("is nested too deeply; write it flatter") from None
        try:
            for sample in samples:
                self.say(sample)
        except Exception as error:
            raise Unfit(f"cannot be filled in: {error}; correct it") from error

    def say(self, facts: Mapping[str, object]) -> tuple[str, str]:
        """Subject and text. Raises what goes wrong, ValueError where there is no subject."""
        said, room = list[str](), LONGEST
        for piece in self._template.generate(facts):
            said.append(piece[:room])
            room -= len(said[-1])
            if not room:
                said.append("…")
                break
        subject, _, text = "".join(said).strip().partition("\n")
        if not subject:
            raise ValueError("its first line, which is the subject, is empty")
        return subject.strip(), text.strip()


def _judge(tree: nodes.Template, sample: Mapping[str, object]) -> None:
    lines: Any = sample["lines"]
    fields = frozenset(type(lines[0])._fields)
    each = {node.target.name for node in tree.find_all(nodes.For) if isinstance(node.target, nodes.Name)}
    known = {*sample, *each, *(["loop"] if each else [])}
    for node in _nodes(tree):
        where = f"in its line {node.lineno}"
        if isinstance(node, nodes.Name) and node.name not in known:
            raise Unfit(f"speaks of {node.name!r} {where}; write one of {', '.join(sorted(known))}")
        if isinstance(node, nodes.Getattr):
            names = _LOOP if isinstance(node.node, nodes.Name) and node.node.name == "loop" else fields
            if node.attr not in names:
                raise Unfit(f"speaks of {node.attr!r} {where}; write one of {', '.join(sorted(names))}")
        if isinstance(node, nodes.Filter) and node.name not in FILTERS:
            raise Unfit(f"has the filter {node.name!r} {where}; write one of {', '.join(sorted(FILTERS))}")
        if problem := _problem(node):
            raise Unfit(f"{problem} {where}; leave it out")


def _nodes(tree: nodes.Node) -> Iterator[nodes.Node]:
    yield tree
    for node in tree.iter_child_nodes():
        yield from _nodes(node)


def _problem(node: nodes.Node) -> str:
    """What makes it wilder than it may be; empty: nothing."""
    match node:
        case nodes.For():
            if not (isinstance(node.iter, nodes.Name) and node.iter.name == "lines"):
                return "goes through something else than lines"
            if node.recursive or any(isinstance(inner, nodes.For) for inner in node.find_all(nodes.For)):
                return "has a loop in a loop"
        case nodes.Getitem():
            if not (isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, int)):
                return "takes something by another thing than a number"
        case nodes.Filter():
            arguments = [*node.args, *(keyword.value for keyword in node.kwargs)]
            if node.dyn_args or node.dyn_kwargs or not all(isinstance(each, nodes.Const) for each in arguments):
                return f"gives {node.name} something that is not written there"
        case _ if not isinstance(node, _ALLOWED):
            return f"does something that it may not ({type(node).__name__.lower()})"
    return ""


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    environment.globals.clear()
    environment.filters = {name: environment.filters[name] for name in FILTERS}
    environment.tests.clear()
    return environment


_ENVIRONMENT = _environment()
