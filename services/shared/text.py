"""Text from outside, made safe to show: on a terminal, in a log, in a message. Pure."""

import json
import re
import unicodedata
from typing import Final

#: Characters of clean text.
LONGEST: Final = 120
#: Control, format, surrogate, private, line and paragraph separator.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
#: Of these, what some scripts and emoji cannot do without: it joins or parts the letters around it, no more.
_JOINERS: Final = frozenset("\u200c\u200d")
#: What a mail or chat client makes a link of although it has no scheme: "evil.com". After an "@" it is a mail address.
_HOST: Final = re.compile(r"(?<![@\w.-])[\w-]+(?:\.[\w-]+)+")
_SHORTEST_ENDING: Final = 2


def visible(text: str, kept: str = "") -> str:
    r"""The text with what cannot be seen written out as JSON would: a line break as \n, an escape as \u001b.

    So it stays on its line and cannot direct a terminal; what was valid JSON still is. `kept`: characters left as they
    are.
    """
    if text.isprintable():
        return text
    return "".join(char if char in kept or _is_seen(char) else json.dumps(char)[1:-1] for char in text)


def clean(text: str, longest: int = LONGEST) -> str:
    """Text for a message: one line, no control or direction characters, no longer than `longest`."""
    shown = text[: 2 * longest]
    if not shown.isprintable():
        shown = "".join(char if _is_seen(char) else " " for char in shown)
    short = " ".join(shown.split())
    return short if len(short) <= longest else f"{short[: longest - 1]}…"


def defanged(text: str) -> str:
    """Text in which no mail or chat client sees a web address, and people still do: https[:]//evil[.]com/x."""
    return _HOST.sub(_bracketed, text.replace("://", "[:]//")) if "." in text or "://" in text else text


def refanged(text: str) -> str:
    """An id as it was before it was put into a message: ids escape brackets, so none of these is its own."""
    return text.replace("[:]//", "://").replace("[.]", ".")


def shortened(text: str, longest: int) -> str:
    """The text, no longer than that: what is too much is left out of its middle."""
    if len(text) <= longest:
        return text
    head = longest * 2 // 3
    return f"{text[:head]}…{text[head + 1 - longest :]}"


def _is_seen(char: str) -> bool:
    return char in _JOINERS or unicodedata.category(char) not in _UNSEEN


def _bracketed(host: "re.Match[str]") -> str:
    labels = host[0].split(".")
    ending = labels[-1]
    is_ending = len(ending) >= _SHORTEST_ENDING and ending.isalpha() and (ending.islower() or ending.isupper())
    return "[.]".join(labels) if is_ending or labels[0].lower() == "www" or ending.startswith("xn--") else host[0]
