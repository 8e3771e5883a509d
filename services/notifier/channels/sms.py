"""SMS, by any gateway that takes HTTP: what it wants to be sent stands in the configuration."""

import asyncio
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from services.notifier.channels.channel import Message, cut
from services.notifier.channels.web import JSON, MEANINGS, Web, as_json, classify, reference, revealed
from services.notifier.outbox import Accepted, Failure, Outcome, Refused, TryAgain
from services.shared.fields import Fields, Secret

#: Characters of a message: two to five parts, depending on the script.
LONGEST = 320
_LEAST = 80  # of them what is said beside a link
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_BLANK = re.compile(r"\{(\w+)\}")
_NEEDED = frozenset({"to", "text"})
_BLANKS = _NEEDED | {"id"}

#: A body with blanks: texts, some of them secret, in lists and mappings.
Template = str | Secret | int | float | bool | None | list["Template"] | dict[str, "Template"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sms:
    """Sends to the numbers of one target, one request each."""

    web: Web
    url: str | Secret
    to: Sequence[str]
    method: str
    headers: Mapping[str, str | Secret]
    template: Template
    form: bool
    meanings: Mapping[int, Outcome]

    @classmethod
    def read(cls, settings: Fields) -> "Sms":
        """`url`, `to`, and `form` or `json` with the blanks {to}, {text} and {id}.

        Optionally `method` (POST, PUT; GET sends the form in the address), `headers`, `accepted` (statuses), `networks`
        and `timeout`.
        """
        web = Web.read(settings)
        if ("form" in settings) == ("json" in settings):
            settings.problem(
                "form", "or json must be there, one of them; write for example {to: '{to}', text: '{text}'}"
            )
        form = "json" not in settings
        method = settings.text("method", "POST", one_of=("POST", "PUT", "GET"))
        if method == "GET" and not form:
            settings.problem("method", "'GET' sends no json; write form")
        return cls(
            web=web,
            url=web.url(settings),
            to=_numbers(settings),
            method=method,
            headers=_headers(settings.section("headers")),
            template=_template(settings, "form" if form else "json"),
            form=form,
            meanings=_meanings(settings.numbers("accepted")),
        )

    async def send(self, message: Message) -> Outcome:
        """Send it to all numbers. Where only some were reached, sending it again would bother those for the others."""
        outcomes = await asyncio.gather(*(self._send(place, message) for place in range(len(self.to))))
        taken = sum(isinstance(outcome, Accepted) for outcome in outcomes)
        if taken:
            return Accepted("" if taken == len(self.to) else f"{taken} of {len(self.to)}")
        return next((outcome for outcome in outcomes if isinstance(outcome, TryAgain)), outcomes[0])

    async def close(self) -> None:
        """Close connections."""
        await self.web.close()

    async def _send(self, place: int, message: Message) -> Outcome:
        # A gateway that knows copies by their id must not take the second number's message for one.
        message_id = f"{message.delivery_id}-{place + 1}" if len(self.to) > 1 else message.delivery_id
        try:
            url = revealed(self.url)
            headers = {name: revealed(value) for name, value in self.headers.items()}
            body = _filled(self.template, {"to": self.to[place], "text": text(message), "id": message_id})
        except ValueError:  # a secret is gone
            return TryAgain(Failure.AUTH)
        if not self.form:
            return await self._made(url, {**JSON, **headers}, data=as_json(body))
        parts = body.items() if isinstance(body, dict) else ()
        fields = {name: part if isinstance(part, str) else json.dumps(part) for name, part in parts}
        if self.method == "GET":
            return await self._made(url, headers, params=fields)
        return await self._made(url, headers, data=fields)

    async def _made(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        data: bytes | Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Outcome:
        answer = await self.web.send(url, data, headers, method=self.method, params=params)
        return classify(answer, self.meanings)


def text(message: Message) -> str:
    """What stands on the phone. Customers' names are in it only where the target may be told them."""
    said = f"{message.subject}\n{message.text}"
    room = LONGEST - len(message.link) - 1
    if len(said) <= LONGEST or not message.link:
        return cut(said, LONGEST)
    # Half a link leads nowhere: rather less is said before it.
    before = said.partition(message.link)[0].rstrip()
    return f"{cut(before, room)}\n{message.link}" if room >= _LEAST else cut(before, LONGEST)


def _numbers(settings: Fields) -> Sequence[str]:
    written = settings.anything("to")
    if not isinstance(written, list) or not written:
        settings.problem("to", f"{written!r} is no list of numbers; write for example ['+34600123456']")
        return ()
    for number in written:
        if not isinstance(number, str) or not _NUMBER.fullmatch(number):
            settings.problem("to", f"{number!r} is no number; write country and all, in quotes: '+34600123456'")
    return tuple(map(str, written))


def _meanings(accepted: Collection[int]) -> Mapping[int, Outcome]:
    if not accepted:
        return MEANINGS
    others = dict.fromkeys(range(200, 300), Refused(Failure.CLIENT_ERROR))
    return {**MEANINGS, **others, **dict.fromkeys(accepted, Accepted())}


def _headers(section: Fields) -> Mapping[str, str | Secret]:
    headers: dict[str, str | Secret] = {}
    for name in section.names():
        value = section.anything(name)
        try:
            # A value may be a secret although it should not: never repeat it.
            if (
                not isinstance(value, str)
                or not revealed(reference(value)).isprintable()
                or not _HEADER.fullmatch(name)
            ):
                raise ValueError("is no header; write name: text or name: env:NAME")  # noqa: TRY301 - one of three
            headers[name] = reference(value)
        except ValueError as error:
            section.problem(name, str(error))
    return headers


def _template(settings: Fields, field: str) -> Template:
    found: set[str] = set()
    try:
        template = _read(settings.anything(field), found)
        if template is not None and not found >= _NEEDED:
            raise ValueError("says not whom to tell what; write {to} and {text} where they belong")  # noqa: TRY301
        if field == "form" and template is not None and not _is_flat(template):
            raise ValueError("is no form; write name: value pairs")  # noqa: TRY301
    except ValueError as error:
        settings.problem(field, str(error))
        return None
    return template


def _is_flat(template: Template) -> bool:
    return isinstance(template, dict) and not any(isinstance(part, dict | list) for part in template.values())


def _read(value: object, found: set[str]) -> Template:
    """The template in a document. Notes the blanks; raises ValueError where there is none of that name."""
    match value:
        case str():
            blanks = set(_BLANK.findall(value))
            if unknown := blanks - _BLANKS:
                raise ValueError(f"has the blank {{{min(unknown)}}}; write {{to}}, {{text}} or {{id}}")
            found |= blanks
            revealed(reference(value) or " ")
            return reference(value)
        case dict():
            return {str(name): _read(part, found) for name, part in value.items()}
        case list():
            return [_read(part, found) for part in value]
        case bool() | int() | float() | None:
            return value
    raise ValueError("holds what JSON has no word for; write it in quotes")


def _filled(template: Template, values: Mapping[str, str]) -> Template:
    match template:
        case str():
            return _BLANK.sub(lambda blank: values[blank[1]], template)
        case Secret():
            return template.reveal()
        case dict():
            return {name: _filled(part, values) for name, part in template.items()}
        case list():
            return [_filled(part, values) for part in template]
    return template
