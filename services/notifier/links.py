"""The link in a message: whoever has it may answer one run of one incident in the name of one target. Pure.

A link ends up in mailboxes and in the logs of proxies, and an incident may be called after a customer: so its token is
sealed, not only signed. The tag is an HMAC-SHA256 of what it says and, as in SIV (RFC 5297), the seed of the key stream
that hides this; nobody without the secret can read it, or change one character of it.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

from services.notifier.items import NONE
from services.notifier.outbox import Delivery
from services.shared.instant import SECOND, Instant

#: What goes before the token in the path.
PATH = "/a/"

#: The first byte of a token; keys are made for it, so that no other version's token passes for one of this.
_VERSION = b"\x01"
_TAG = 16  # bytes of the HMAC
_BLOCK = 32  # bytes that SHA-256 makes
#: opened_at, expires_at in seconds, and how long the target's name is, which follows; then the incident's id.
_HEAD = Struct(">QIB")


class NotOurs(Exception):
    """It was not made with this secret, or was changed since."""


class Claim(NamedTuple):
    """What a link allows."""

    incident_id: str
    #: The run of the incident.
    opened_at: Instant
    #: In whose name.
    target: str
    #: Whole seconds.
    expires_at: Instant


class Expired(Exception):
    """It was good once. `claim`: for what."""

    def __init__(self, claim: Claim) -> None:
        super().__init__("the link has expired")
        self.claim = claim


class Links:
    """Makes links and reads them."""

    def __init__(self, url: str, secrets: Sequence[str], lasting: int) -> None:
        """`url`: where the page is served; `lasting`: microseconds.

        Links are made with the first of the `secrets`; those made with one of the others are good, too.
        """
        self._url = url.rstrip("/")
        self._keys = [_keys(secret) for secret in secrets]
        self._lasting = lasting

    def link(self, delivery: Delivery, incident_id: str) -> str:
        """The link for a message: the same at every attempt. Empty where it names no run of its incident.

        It lasts from when the message would be given up, so that it is good whenever the message arrives.
        """
        if delivery.opened_at == NONE:
            return ""
        expires_at = Instant(delivery.give_up_at + self._lasting)
        return f"{self._url}{PATH}{self.token(Claim(incident_id, delivery.opened_at, delivery.target, expires_at))}"

    def token(self, claim: Claim) -> str:
        """A claim, sealed: letters, digits, - and _."""
        target = claim.target.encode()
        head = _HEAD.pack(claim.opened_at, claim.expires_at // SECOND, len(target))
        return _sealed(self._keys[0], head + target + claim.incident_id.encode())

    def read(self, token: str, now: Instant) -> Claim:
        """What a token allows. Raises NotOurs, Expired."""
        claim = _claim(self._opened(token))
        if claim.expires_at <= now:
            raise Expired(claim)
        return claim

    def _opened(self, token: str) -> bytes:
        try:
            raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError:
            raise NotOurs from None
        tag, hidden = raw[1 : 1 + _TAG], raw[1 + _TAG :]
        for keys in self._keys:
            content = _masked(keys[1], tag, hidden)
            # Sealed again and compared as a whole: base64 spells the same bytes in several ways, and one is ours.
            if hmac.compare_digest(_sealed(keys, content).encode(), token.encode()):
                return content
        raise NotOurs


def _keys(secret: str) -> tuple[bytes, bytes]:
    """One key to sign and one to hide with."""
    secret_key, name = secret.encode(), b"puntual link " + _VERSION
    return hmac.digest(secret_key, name + b"sign", "sha256"), hmac.digest(secret_key, name + b"hide", "sha256")


def _sealed(keys: tuple[bytes, bytes], content: bytes) -> str:
    sign, hide = keys
    tag = hmac.digest(sign, content, "sha256")[:_TAG]
    return urlsafe_b64encode(_VERSION + tag + _masked(hide, tag, content)).decode().rstrip("=")


def _masked(key: bytes, tag: bytes, content: bytes) -> bytes:
    """The content behind a stream that only the key gives for this tag; masked twice it is itself."""
    blocks = range(len(content) // _BLOCK + 1)
    stream = b"".join(hmac.digest(key, tag + block.to_bytes(2), "sha256") for block in blocks)
    return bytes(byte ^ mask for byte, mask in zip(content, stream, strict=False))


def _claim(content: bytes) -> Claim:
    opened_at, expires_at, length = _HEAD.unpack_from(content)
    target, incident_id = content[_HEAD.size :][:length], content[_HEAD.size + length :]
    return Claim(incident_id.decode(), Instant(opened_at), target.decode(), Instant(expires_at * SECOND))
