"""Serves the page behind the link in a message, and publishes what is answered there.

To look changes nothing, however often mail scanners do: only what the form posts is an answer. The token in the path is
all that lets anybody in, so paths are never logged.
"""

import asyncio
import logging
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from shlex import quote
from typing import NamedTuple, cast
from urllib.parse import parse_qsl

from aiohttp import web

from services.notifier import page as pages
from services.notifier.beliefs import Receivers
from services.notifier.config import Config
from services.notifier.incident import Incident
from services.notifier.links import PATH, Claim, Expired, Links, NotOurs
from services.notifier.lookup import Lookup, Moving
from services.notifier.page import CHOICES, Page, Reader, is_answerable, note, reader, render, style_hash
from services.notifier.response_codec import decode_response, to_message
from services.notifier.responses import Response
from services.notifier.wording import Style
from services.shared.clock import Now, wall_clock
from services.shared.engine.view import RecordView
from services.shared.errors import PublishFailed, PuntualError, Unusable
from services.shared.ingress import Ingress, Outgoing
from services.shared.log import Terse, bounded, place_of
from services.shared.topics import RESPONSES

log = logging.getLogger(__name__)
#: What whoever finds the port can cause.
_strangers = bounded(__name__)

#: Bytes of what the form posts; a comment in Chinese, encoded, has some 4,500.
LARGEST = 8192
_FORM = "application/x-www-form-urlencoded"
#: Of a form; ours has three.
_FIELDS = 20
#: Seconds that a request may take, with what Kafka and another worker take; and that a connection takes requests.
REQUEST, CONNECTION = 20.0, 60.0
_GRACE = 2.0  # seconds that requests get to end
#: Seconds to wait for an answer to appear in the record, and before the second look; each wait is twice the last.
HEARD, LOOK = 3.0, 0.1
#: What answers given on the page are called: nobody has to be waited for who never was.
_ANSWERED = re.compile(r"page-[0-9a-f]{32}")
_AGAIN = {"Retry-After": "2"}

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src {style_hash()}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
    "Server": "puntual",
}

Publish = Callable[[bytes, bytes], Awaitable[None]]
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Trouble(NamedTuple):
    """What is said when a request cannot be answered."""

    status: int
    note: str
    #: Whether to offer another look.
    again: bool = False


#: Whatever else fails is said to be passing, and the log says what it was.
_TROUBLES: Mapping[type[Exception], _Trouble] = {
    NotOurs: _Trouble(404, "not_ours"),
    Moving: _Trouble(503, "moving", again=True),
    PublishFailed: _Trouble(503, "not_taken", again=True),
    TimeoutError: _Trouble(503, "moving", again=True),
    # Nobody is there to read it.
    ConnectionResetError: _Trouble(400, "wrong"),
}
_PASSING = _Trouble(500, "moving", again=True)


class Answering:
    """The page over the incidents that `lookup` finds. `publish` sends a response, by key and value."""

    def __init__(self, lookup: Lookup, links: Links, config: Config, publish: Publish, now: Now = wall_clock) -> None:
        self._lookup, self._links, self._config = lookup, links, config
        self._publish, self._now = publish, now

    def application(self) -> web.Application:
        """The routes, and what all of them have in common."""
        application = web.Application(client_max_size=LARGEST, middlewares=[_guarded])
        application.router.add_get(f"{PATH}{{token}}", self.show)
        application.router.add_post(f"{PATH}{{token}}", self.take)
        return application

    async def show(self, request: web.Request) -> web.Response:
        """The page; changes nothing."""
        answered = request.query.get("answered", "")
        answered = answered if _ANSWERED.fullmatch(answered) else ""
        claim = self._claim(request)
        incident = await self._heard(claim, answered) if answered else await self._lookup.find(claim.incident_id)
        if incident is None:
            return _html(note("gone", self._reader(request, claim).language), 410)
        if incident.attention.opened_at != claim.opened_at:
            language = self._reader(request, claim).language
            return _html(note("earlier", language, [f"puntual incidents show {quote(claim.incident_id)}"]), 410)
        return _html(self._page(request, claim, incident, answered), 200)

    async def take(self, request: web.Request) -> web.Response:
        """Publishes an answer once; then shows the page, by a redirect that can be reloaded at will."""
        claim = self._claim(request)
        form = await _posted(request)
        incident = await self._lookup.find(claim.incident_id)
        if incident is None or not is_answerable(incident, claim.opened_at):
            return _html(note("late", self._reader(request, claim).language, again=True), 409)
        who = self._reader(request, claim, incident)
        response = self._response(request.match_info["token"], claim, who, form)
        value = to_message(claim.incident_id, response).SerializeToString()
        try:
            decode_response(value, is_json=False, heard_at=self._now())
        except Unusable as unusable:
            raise web.HTTPBadRequest from unusable
        await self._publish(claim.incident_id.encode(), value)
        # Relative to what the browser asked for: a proxy may have put a path before it.
        return web.Response(status=303, headers={"Location": f"?answered={response.response_id}"})

    def _claim(self, request: web.Request) -> Claim:
        return self._links.read(request.match_info["token"], self._now())

    def _response(self, token: str, claim: Claim, who: Reader, form: Mapping[str, str]) -> Response:
        """What the form says: posted twice, the same response. Raises HTTPBadRequest where it is not our form."""
        choice, nonce = CHOICES.get(form.get("answer", "")), form.get("nonce", "")
        if choice is None or not nonce:
            raise web.HTTPBadRequest
        # Browsers send two characters for each end of a line, and count one.
        comment = form.get("comment", "").replace("\r\n", "\n").strip()
        said = "\n".join((token, nonce, form["answer"], comment))
        now = self._now()
        return Response(
            response_id=f"page-{sha256(said.encode()).hexdigest()[:32]}",
            action=choice.action,
            by=self._config.whose(claim.target),
            responded_at=now,
            opened_at=claim.opened_at,
            comment=comment,
            via="page",
            target="",
            **({"until": choice.until(now, who.zone)} if choice.until else {}),
        )

    async def _heard(self, claim: Claim, answered: str) -> Incident | None:
        """The incident once an answer is in it; as it is where that takes too long."""
        end, wait = asyncio.get_running_loop().time() + HEARD, LOOK
        while True:
            incident = await self._lookup.find(claim.incident_id)
            if incident is None or answered in {known.response_id for known in incident.attention.responses}:
                return incident
            if asyncio.get_running_loop().time() > end:
                return incident
            await asyncio.sleep(wait)
            wait *= 2

    def _page(self, request: web.Request, claim: Claim, incident: Incident, answered: str) -> Page:
        who = self._reader(request, claim, incident)
        receivers = self._config.plan.routes.get(incident.route, Receivers({}))
        return pages.page(incident, who, receivers, self._now(), secrets.token_urlsafe(12), answered)

    def _reader(self, request: web.Request, claim: Claim, incident: Incident | None = None) -> Reader:
        target = self._config.targets.get(claim.target)
        who, style = self._config.whose(claim.target), target.style if target else Style()
        return reader(who, style, _spoken(request), incident)


@asynccontextmanager
async def serve_answers(
    config: Config, view: RecordView, ingress: Ingress, prefix: str, where: tuple[str, int]
) -> AsyncIterator[int]:
    """Serve the page at a host and port (0: any free one) for the length of an `async with` block; gives the port.

    Where the configuration has no links nothing is served, and the port is 0. Raises PuntualError where it is taken.
    """
    if config.links is None:
        yield 0
        return

    async def publish(key: bytes, value: bytes) -> None:
        await ingress.send([Outgoing(RESPONSES.under(prefix), key, value)])

    async with Lookup(view) as lookup:
        answering = Answering(lookup, config.links, config, publish)
        async with listening(answering.application(), where) as port:
            log.info("answers on http://%s:%d%s", where[0], port, PATH)
            yield port


@asynccontextmanager
async def listening(
    application: web.Application, where: tuple[str, int], connection: float = CONNECTION, request: float = REQUEST
) -> AsyncIterator[int]:
    """Serve an application. Seconds: a `connection` takes requests for so long, a `request` lasts that at most."""
    # Paths are as good as keys here: nothing writes them down.
    runner = web.AppRunner(
        application,
        access_log=None,
        keepalive_timeout=connection,
        shutdown_timeout=_GRACE,
        logger=Terse(_strangers, "a request could not be read"),
    )
    await runner.setup()
    connected, loop = cast("web.Server", runner.server), asyncio.get_running_loop()

    def limited() -> asyncio.Protocol:
        handler = connected()
        loop.call_later(connection, handler.close)  # after the request it is at,
        loop.call_later(connection + request, handler.force_close)  # which has ended by then
        return handler

    try:
        server = await loop.create_server(limited, *where)
    except OSError as error:
        await runner.cleanup()
        raise PuntualError(
            f"Cannot serve answers on {where[0]}:{where[1]}: {error.strerror}. Set PUNTUAL_ANSWERS_PORT to a free port."
        ) from error
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await runner.cleanup()


@web.middleware
async def _guarded(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Every answer has the same headers, an end in time, and words instead of what went wrong."""
    language = reader("", Style(), _spoken(request)).language
    try:
        async with asyncio.timeout(REQUEST):
            response = await handler(request)
    except Expired as expired:
        command = f"puntual incidents ack {quote(expired.claim.incident_id)}"
        response = _html(note("expired", language, [command]), 410)
    except web.HTTPException as refused:
        kept = {name: value for name, value in refused.headers.items() if name == "Allow"}
        response = _html(
            note("not_ours" if refused.status == web.HTTPNotFound.status_code else "wrong", language),
            refused.status,
            kept,
        )
    except Exception as error:  # noqa: BLE001 - the last one before the reader
        trouble = _TROUBLES.get(type(error), _PASSING)
        if trouble is _PASSING:
            _strangers.error("a page failed: %s", place_of(error))
        response = _html(
            note(trouble.note, language, again=trouble.again), trouble.status, _AGAIN if trouble.again else {}
        )
    response.headers.update(HEADERS)
    return response


async def _posted(request: web.Request) -> Mapping[str, str]:
    """A form, in UTF-8: by which codec it is read is not for whoever sends it to say."""
    if request.content_type != _FORM or (request.charset or "utf-8").lower() != "utf-8":
        raise web.HTTPUnsupportedMediaType
    body = await request.read()
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS))
    except ValueError as error:
        raise web.HTTPBadRequest from error


def _html(page: Page, status: int, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(text=render(page), status=status, headers=headers, content_type="text/html")


def _spoken(request: web.Request) -> str:
    return request.headers.get("Accept-Language", "")
