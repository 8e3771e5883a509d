"""A target's own words: what can be said, what cannot be done, and what becomes of a message when they fail."""

import re
import time

import pytest
from hypothesis import given, settings, strategies as st

from services.notifier.config import BUILT_IN, parse
from services.notifier.items import Details, Severity, Standing
from services.notifier.outbox import Kind
from services.notifier.own_words import FILTERS, LONGEST, MAX_TEMPLATE, OwnWords, Unfit
from services.notifier.read_templates import _OTHERS, _SAMPLES, read_templates
from services.notifier.wording import Occasion, Style, facts, word
from services.shared.documents import DocumentError
from services.shared.fields import Fields
from tests.unit.notifier.builders import an_item, at
from tests.unit.notifier.test_wording import DETAILS, ENGLISH, TOLD, a_delivery

SAMPLES = [facts(notice, *_OTHERS) for notice in _SAMPLES]


def style(template: str, kind: str = "breach") -> Style:
    """English, with a template for one kind of message."""
    return ENGLISH._replace(templates={kind: OwnWords(template, SAMPLES)})


OWN = """{{ severity | upper }}: {{ subject }}
{% for line in lines %}
{{ loop.index }}. {{ line.subject }}{% if line.customer %} for {{ line.customer }}{% endif %}

{% endfor %}
{{ text }}
Runbook: https://wiki.example.com/{{ lines[0].kind }}"""


def test_a_message_is_put_as_the_template_has_it() -> None:
    """For people and, beside the same data, for machines; other kinds are worded as ever."""
    built_in = word(a_delivery(), "ops", ENGLISH)
    message = word(a_delivery(), "ops", style(OWN))
    assert message.subject == f"CRITICAL: {built_in.subject}"
    assert message.text == f"1. A-1 for C-7\n{built_in.text}\nRunbook: https://wiki.example.com/order_ready"
    data = message.payload["data"]
    assert isinstance(data, dict)
    assert (data["subject"], data["text"]) == (message.subject, message.text)
    assert word(a_delivery(kind=Kind.REMINDER), "ops", style(OWN)) == word(
        a_delivery(kind=Kind.REMINDER), "ops", ENGLISH
    )


def test_what_may_repeat_says_so_in_any_words() -> None:
    """Once, and unless whoever gets it knows copies by their ids."""
    twice = a_delivery()._replace(may_repeat=True)
    assert word(twice, "ops", style("Look")).subject == "Look (may repeat)"
    assert word(twice, "ops", style("{{ subject }}!")).subject.count("(may repeat)") == 1
    assert word(twice, "ops", style("Look"), Occasion(copies_known=True)).subject == "Look"


def test_what_is_said_for_several_or_instead_is_said_in_the_built_in_words() -> None:
    """A template speaks of one message to its target."""
    for occasion in (Occasion(instead=True), Occasion(stands_for=[a_delivery(), a_delivery()])):
        assert word(a_delivery(), "ops", style("Look"), occasion) == word(a_delivery(), "ops", ENGLISH, occasion)


@pytest.mark.parametrize("template", ["{{ lines[0].due | truncate(due) }}", "{{ lines[1].subject }}", "{{ by.x }}"])
def test_words_that_would_fail_for_some_message_are_refused(template: str) -> None:
    """One item, and nothing said of it but what must be."""
    with pytest.raises(Unfit):
        OwnWords(template, SAMPLES)


def test_words_that_fail_lose_nothing() -> None:
    """The message is the built-in one, and says that they did, in words that hold no data."""
    fails = style("Look {% if lines[0].subject == 'A-9' %}{{ lines[4].subject }}{% endif %}")
    item = an_item(subject="A-9", details=DETAILS)
    message, built_in = word(a_delivery(item), "ops", fails), word(a_delivery(item), "ops", ENGLISH)
    assert message.misworded == "UndefinedError"
    assert message._replace(misworded="") == built_in
    assert word(a_delivery(), "ops", fails).misworded == ""
    empty = style("{% if lines[0].subject == 'A-9' %}{% else %}Look{% endif %}")
    assert word(a_delivery(item), "ops", empty) == built_in._replace(misworded="ValueError")


def test_what_is_said_is_cut() -> None:
    """And nothing more of it is worked out."""
    own = OwnWords("a\n{{ text }}{% if by == '' %}{{ lines[1].subject }}{% endif %}", SAMPLES[:1])
    subject, text = own.say({**SAMPLES[1], "text": "x" * 20_000})
    assert (subject, text) == ("a", f"{'x' * (LONGEST - 2)}…")


#: What a template may not do → what is said of it.
WILD = {
    "{{ nobody }}": "speaks of 'nobody' in its line 1; write one of by, explain, kind",
    "\n{{ lines[0].nothing }}": "speaks of 'nothing' in its line 2; write one of breaches, customer, due",
    "{{ lines.count }}": "speaks of 'count'",
    "{{ loop.index }}": "speaks of 'loop'",
    "{% for line in lines %}{{ loop.cycle }}{% endfor %}": "speaks of 'cycle'",
    "{{ ''.__class__ }}": "speaks of '__class__'",
    "{{ subject.format }}": "speaks of 'format'",
    "{{ lines['count'] }}": "by another thing than a number",
    "{{ subject[:2] }}": "by another thing than a number",
    "{{ subject | center(99999999) }}": "has the filter 'center'",
    "{{ subject | replace('', 'xxxxxxxxxx') }}": "has the filter 'replace'",
    "{{ subject | join('xxxxxxxxxx') }}": "has the filter 'join'",
    "{{ subject | truncate(total) }}": "gives truncate something",
    "{{ subject | default(text, *lines) }}": "gives default something",
    "{{ 'x' * 999999999 }}": "may not (mul)",
    "{{ 9 ** 9 ** 9 }}": "may not (pow)",
    "{{ subject ~ text }}": "may not (concat)",
    "{{ range(999999999) }}": "may not (call)",
    "{{ lines.__len__() }}": "may not (call)",
    "{% set x = subject %}": "may not (assign)",
    "{% include 'message.j2' %}": "may not (include)",
    "{% import 'message.j2' as m %}": "may not (import)",
    "{% extends 'message.j2' %}": "may not (extends)",
    "{% macro m() %}{% endmacro %}": "may not (macro)",
    "{% filter upper %}x{% endfilter %}": "may not (filterblock)",
    "{{ subject is defined }}": "may not (test)",
    "{{ [subject] }}": "may not (list)",
    "{% for one in lines %}{% for two in lines %}x{% endfor %}{% endfor %}": "a loop in a loop",
    "{% for one in lines recursive %}x{% endfor %}": "a loop in a loop",
    "{% for letter in text %}x{% endfor %}": "goes through something else than lines",
    "{% for a, b in lines %}x{% endfor %}": "may not (tuple)",
    "{% if %}": "is no template: Expected an expression",
    "{{ " + "not " * 900 + "1 }}": "is nested too deeply",
    "{{ subject" + " | trim" * 500 + " }}": "is nested too deeply",
    "{{ subject > 1 }}": "cannot be filled in: '>' not supported",
    "{{ lines[7].subject }}": "cannot be filled in: tuple object has no element 7",
    "{{ by }}": "cannot be filled in: its first line, which is the subject, is empty",
    "a\x1b[2J": "has characters that cannot be seen",
    "x" * (MAX_TEMPLATE + 1): "has 4,001 characters; write at most 4,000",
}


@pytest.mark.parametrize("template", WILD, ids=lambda template: template[:40])
def test_a_template_that_is_not_tame_is_refused_in_words(template: str) -> None:
    """Before any of it is run."""
    with pytest.raises(Unfit) as refused:
        OwnWords(template, SAMPLES)
    assert WILD[template] in str(refused.value)
    assert "; " in str(refused.value)


def test_templates_are_read_by_kind_and_every_problem_is_told() -> None:
    """With its line."""
    fields, problems = Fields.of("breach: '{{ subject }}'\nescalation: 'Up'", "x.yaml")
    assert read_templates(fields).keys() == {"breach", "escalation"}
    problems.check()
    fields, problems = Fields.of("canary: a\nbreach: '{{ subjekt }}'\nresolved: 3\n", "x.yaml")
    assert read_templates(fields) == {}
    with pytest.raises(DocumentError) as refused:
        problems.check()
    first, second, third = str(refused.value).splitlines()
    assert first.startswith("x.yaml: line 1: canary: is no kind of message; write one of acknowledged, at_risk,")
    assert second.startswith("x.yaml: line 2: breach: speaks of 'subjekt' in its line 1; write one of by,")
    assert third.startswith("x.yaml: line 3: resolved: 3 is no text")


def test_the_example_in_the_built_in_document_is_fit() -> None:
    """People copy it; a whole document with it is read."""
    (example,) = re.findall(r"#\s+(templates: \{.*\})\n", BUILT_IN.read_text())
    document = f"targets: {{desk: {{channel: console, {example}}}}}\nroutes: [{{name: all, targets: [desk]}}]"
    desk = parse(document, "x.yaml").targets["desk"]
    message = word(a_delivery(), "ops", desk.style)
    assert message.text.endswith("\nhttps://wiki.example.com/order_ready")
    with pytest.raises(DocumentError, match=r"targets\.desk\.templates\.breach: speaks of 'nobody'"):
        parse(document.replace("{{ subject }}", "{{ nobody }}"), "x.yaml")


#: Parts of templates that are tame.
VALUES = st.sampled_from(["subject", "text", "total", "by", "explain", "lines[0].subject", "'x'", "lines"])
FILTERED = st.builds(
    lambda value, filters: " | ".join((value, *filters)), VALUES, st.lists(st.sampled_from(sorted(FILTERS)), max_size=6)
)
PIECES = st.builds("{{{{ {} }}}}".format, FILTERED) | st.builds(
    "{{% if {} in {} %}}x{{% endif %}}".format, st.sampled_from(["by", "'y'"]), st.sampled_from(["text", "explain"])
)
BODIES = st.lists(PIECES, min_size=1, max_size=400).map("".join)
LONG = st.sampled_from(["", "x", "\n", "{{ 7 }}", "李", "\u202e", "é "]).map(lambda text: text * 10_000)


@settings(deadline=None, max_examples=60)
@given(body=BODIES, loops=st.booleans(), long=LONG, told=st.sampled_from(TOLD))
def test_whatever_is_tame_says_so_much_at_most_and_at_once(
    body: str, loops: bool, long: str, told: tuple[Kind, Standing]
) -> None:
    """Whatever the events hold; it is said in its own words or in the built-in ones."""
    kind, standing = told
    template = f"!{{% for line in lines %}}{body}{{% endfor %}}" if loops else f"!{body}"
    try:
        own = style(template, kind.name.lower())
    except Unfit:
        return
    details = Details(customer_name=long, reason=long, site=long, team=long)
    items = [an_item(standing, subject=f"{number}{long}", details=details) for number in range(10)]
    began = time.process_time()
    message = word(a_delivery(*items, kind=kind, count=9_999), "ops", own._replace(show_customer=True))
    assert time.process_time() - began < 0.3
    assert 0 < len(message.subject) <= 250
    assert len(message.text) <= LONGEST + 1


@settings(deadline=None)
@given(
    long=LONG,
    told=st.sampled_from(TOLD),
    language=st.sampled_from(["en", "es", "it"]),
    instead=st.booleans(),
    service=st.sampled_from(["promises", "sla"]),
)
def test_the_built_in_words_are_bounded_too(
    long: str, told: tuple[Kind, Standing], language: str, instead: bool, service: str
) -> None:
    """Whatever the events hold."""
    kind, standing = told
    details = Details(at(0), long, long, long, long, long, long, long)
    items = [
        an_item(standing, subject=f"{number}{long}", details=details)._replace(service=service, kind=long or "callback")
        for number in range(10)
    ]
    delivery = a_delivery(*items, kind=kind, count=9_999)._replace(severity=Severity.INFO, by=long, may_repeat=True)
    began = time.process_time()
    message = word(delivery, "ops", Style(language, show_customer=True), Occasion(instead, link="https://x" * 30))
    assert time.process_time() - began < 0.3
    assert len(message.subject) <= 1_000
    assert len(message.text) <= LONGEST
    assert "\n" not in message.subject
