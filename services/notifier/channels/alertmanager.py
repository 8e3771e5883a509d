"""Alertmanager: an alert for every message about a breach or a risk, posted to each member of the cluster.

The labels say which it is: `alertname`, `incident`, `target` and `delivery`, and whatever the settings add; so what
resolves an alert needs to know no more than the id of the delivery that raised it. An alert fires until it is resolved,
for `fires_for` at most. Members keep alerts in memory only and do not pass them on, therefore a message is accepted
once all of them took it; a member that is started anew has forgotten what fires.
"""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence

from services.notifier.channels.channel import Message
from services.notifier.channels.web import JSON, Web, as_json, classify, revealed
from services.notifier.outbox import Accepted, Failure, Outcome, Refused, TryAgain
from services.shared.fields import Fields, Secret
from services.shared.instant import SECOND, Instant, format_instant

_PATH = "/api/v2/alerts"
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_OURS = frozenset({"alertname", "incident", "target", "delivery"})


class Alertmanager:
    """Posts to all members of one cluster."""

    def __init__(self, web: Web, urls: Sequence[str | Secret], labels: Mapping[str, str], fires_for: int) -> None:
        self._web = web
        self._urls = urls
        self._labels = labels
        self._fires_for = fires_for

    @classmethod
    def read(cls, settings: Fields) -> "Alertmanager":
        """`urls` of all members; optionally `labels`, `fires_for`, `networks` and `timeout`."""
        web = Web.read(settings)
        labels = settings.section("labels")
        texts = {name: labels.text(name) for name in labels.names()}
        for name in texts:
            if name in _OURS or not _LABEL.fullmatch(name):
                labels.problem(name, "is no label of yours; use letters, digits and _, but none of Puntual's labels")
        return cls(web, web.urls(settings), texts, settings.span("fires_for", "30d"))

    async def send(self, message: Message) -> Outcome:
        """Post to all members at once; whoever has it already takes it for what it is."""
        alerts = self.alerts(message, Instant(int(time.time() * SECOND)))
        if not alerts:
            return Accepted()  # what it answers is open still
        try:
            urls = [revealed(url).rstrip("/") + _PATH for url in self._urls]
        except ValueError:  # a secret is gone
            return TryAgain(Failure.AUTH)
        body = as_json(alerts)
        outcomes = [classify(answer) for answer in await asyncio.gather(*(self._web.send(u, body, JSON) for u in urls))]
        # What may pass comes before what will not: it is tried again for the sake of that member.
        return min(outcomes, key=lambda outcome: _ORDER[type(outcome)])

    async def close(self) -> None:
        """Close connections."""
        await self._web.close()

    def alerts(self, message: Message, now: Instant) -> list[Mapping[str, object]]:
        """What a message makes: one that fires where something is wrong, and the end of those that are over."""
        said = {
            "summary": message.subject,
            "description": message.text,
            "severity": message.severity,
            "kind": message.kind,
        }
        over = [
            {"labels": self._identity(message, delivery_id), "annotations": said, "endsAt": format_instant(now)}
            for delivery_id in message.over
        ]
        if not message.calls:
            return [*over]
        firing = {
            "labels": self._identity(message, message.delivery_id),
            "annotations": said,
            "startsAt": format_instant(now),
            "endsAt": format_instant(Instant(now + self._fires_for)),
        }
        return [firing, *over]

    def _identity(self, message: Message, delivery_id: str) -> Mapping[str, str]:
        ours = {"alertname": "Puntual", "incident": message.incident_id, "target": message.target}
        return {**self._labels, **ours, "delivery": delivery_id}


_ORDER = {TryAgain: 0, Refused: 1, Accepted: 2}
