"""E-mail by SMTP. A resolution stands in the thread of the message it answers."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage

import aiosmtplib

from services.notifier.channels.channel import Message
from services.notifier.channels.networks import (
    REMEDY,
    BlockedAddress,
    Network,
    address_of,
    allows,
    connected,
    read_networks,
)
from services.notifier.outbox import Accepted, Failure, Outcome, Refused, TryAgain
from services.shared.fields import Fields, Secret
from services.shared.instant import SECOND

log = logging.getLogger(__name__)

#: How many earlier mails a mail refers to.
_REFERENCES = 10
#: How the connection is protected → the usual port.
TLS = {"starttls": 587, "tls": 465, "none": 25}


@dataclass(frozen=True, slots=True, kw_only=True)
class Email:
    """Sends to the addresses of one target."""

    host: str
    port: int
    tls: str
    sender: str
    to: Sequence[str]
    username: str | None = None
    password: Secret | None = None
    #: Private ones that may be reached.
    networks: Sequence[Network] = ()
    #: Seconds.
    timeout: float = 15.0

    @classmethod
    def read(cls, settings: Fields) -> "Email":
        """`host`, `from`, `to`; optionally `tls`, `port`, `username`, `password`, `networks`, `timeout`."""
        tls = settings.text("tls", "starttls", one_of=TLS)
        email = cls(
            host=settings.text("host"),
            port=settings.port("port", TLS[tls]),
            tls=tls,
            sender=settings.text("from"),
            to=settings.texts("to"),
            username=settings.text("username", "") or None,
            password=settings.secret("password"),
            networks=read_networks(settings),
            timeout=settings.span("timeout", "15s") / SECOND,
        )
        for name, addresses in (("from", [email.sender]), ("to", email.to)):
            for address in addresses:
                if address and not _is_address(address):
                    settings.problem(name, f"{address!r} is no address; write somebody@example.com")
        if "username" in settings and "password" not in settings:
            settings.problem("password", "is missing; write env:NAME or file:/path")
        if tls == "none" and "password" in settings:
            settings.problem("tls", "is none, so that anybody on the way reads the password; write starttls or tls")
        if address_of(email.host) and not allows(email.networks, email.host):
            settings.problem("host", REMEDY)
        return email

    async def send(self, message: Message) -> Outcome:
        """Hand it to the mail server. 4yz and the network may pass, 5yz will not."""
        try:
            password = self.password.reveal() if self.password else None
        except ValueError:  # the secret is gone
            return TryAgain(Failure.AUTH)
        try:
            mail = self.compose(message)
            async with asyncio.timeout(self.timeout):
                way = await connected(self.host, self.port, self.networks)
            refused, response = await aiosmtplib.send(
                mail,
                hostname=self.host,
                sock=way,
                use_tls=self.tls == "tls",
                start_tls=self.tls == "starttls",
                username=self.username,
                password=password,
                timeout=self.timeout,
            )
        except BlockedAddress:
            log.error("address is not public; if it is meant, list its network under `networks` of the target")  # noqa: TRY400
            return Refused(Failure.BLOCKED_ADDRESS)
        except (aiosmtplib.SMTPException, MessageError, OSError, ValueError) as error:
            return classify(error)
        # Where only some were refused, sending it again would bother the others for their sake.
        share = f"{len(self.to) - len(refused)} of {len(self.to)}, " if refused else ""
        return Accepted(f"{share}{response}"[:200])

    async def close(self) -> None:
        """Nothing stays open between messages."""

    def compose(self, message: Message) -> EmailMessage:
        """The mail. Its id is the same at every attempt, so that a copy is known as one."""
        mail = EmailMessage()
        mail["From"] = Address("Puntual", addr_spec=self.sender)
        mail["To"] = ", ".join(self.to)
        mail["Subject"] = message.subject
        mail["Message-ID"] = self._id(message.delivery_id)
        if message.answers:
            mail["In-Reply-To"] = self._id(message.answers[-1])
            mail["References"] = " ".join(map(self._id, message.answers[-_REFERENCES:]))
        # Nobody's holiday notice should answer.
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        return mail

    def _id(self, delivery_id: str) -> str:
        return f"<{delivery_id}@{self.sender.rpartition('@')[2]}>"


def classify(error: Exception) -> Outcome:
    """What went wrong, and whether it may pass."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = min(error.recipients, key=lambda refused: refused.code)
    if not isinstance(error, aiosmtplib.SMTPResponseException):
        return next(meaning for kind, meaning in _MEANINGS if isinstance(error, kind))
    failure = _FAILURES.get(error.code)
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        failure = Failure.AUTH
    if error.code >= _PERMANENT:
        return Refused(failure or Failure.CLIENT_ERROR)
    return TryAgain(failure or Failure.SERVER_ERROR)


_PERMANENT = 500
_FAILURES = {452: Failure.RATE_LIMITED, 530: Failure.AUTH, 552: Failure.TOO_LARGE}
#: Errors without a reply code, the special before the general. The last: a message that cannot be written.
_MEANINGS: Sequence[tuple[type[Exception], Outcome]] = (
    (aiosmtplib.SMTPTimeoutError, TryAgain(Failure.TIMEOUT)),
    (TimeoutError, TryAgain(Failure.TIMEOUT)),
    (aiosmtplib.SMTPConnectError, TryAgain(Failure.NETWORK)),
    (aiosmtplib.SMTPServerDisconnected, TryAgain(Failure.NETWORK)),
    (aiosmtplib.SMTPException, TryAgain(Failure.SERVER_ERROR)),
    (OSError, TryAgain(Failure.NETWORK)),
    (Exception, Refused(Failure.TEMPLATE)),
)


def _is_address(text: str) -> bool:
    try:
        return bool(Address(addr_spec=text).domain)
    except (ValueError, MessageError, IndexError):
        return False
