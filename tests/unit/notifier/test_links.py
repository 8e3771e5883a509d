"""Links: what a token allows, for how long, and that nobody makes or changes one without the secret."""

import string
from base64 import urlsafe_b64decode

import pytest
from hypothesis import given, strategies as st

from services.notifier.links import Claim, Expired, Links, NotOurs
from services.notifier.outbox import Delivery, Kind
from services.shared.instant import SECOND, Instant
from tests.unit.notifier.builders import NOON, an_item, at

OLD, NEW, OTHER = "o" * 32, "n" * 32, "x" * 32
DAY = 86_400 * SECOND
CLAIM = Claim("ops/customer=C-7,kind=order_ready", at(0), "desk", at(60))
LINKS = Links("https://puntual.example.com/shop/", [NEW], 7 * DAY)
TOKEN = LINKS.token(CLAIM)

claims = st.builds(
    Claim,
    incident_id=st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
    opened_at=st.integers(1, 2**62),
    target=st.from_regex(r"[a-z0-9][a-z0-9_-]{0,39}", fullmatch=True),
    expires_at=st.integers(1, 2**32 - 1).map(lambda seconds: seconds * SECOND),
)


def a_delivery(opened_at: Instant = NOON) -> Delivery:
    """A message to the target "desk"."""
    item = an_item()
    return Delivery("d", 1, Kind.BREACH, 3, "desk", "sms", (item,), 1, at(1), give_up_at=at(60), opened_at=opened_at)


@given(claims)
def test_a_token_says_what_was_put_in(claim: Claim) -> None:
    """Whatever ids are like; and it needs no quoting in a path."""
    token = LINKS.token(claim)
    assert LINKS.read(token, Instant(claim.expires_at - 1)) == claim
    assert set(token) <= set(string.ascii_letters + string.digits + "-_")


@given(st.integers(0, len(TOKEN) - 1), st.characters(exclude_categories=["Cs"]))
def test_a_changed_character_is_refused(place: int, character: str) -> None:
    """Each of them, the last one included, of which base64 ignores some bits."""
    changed = TOKEN[:place] + character + TOKEN[place + 1 :]
    if changed != TOKEN:
        with pytest.raises(NotOurs):
            LINKS.read(changed, at(1))


def test_every_spelling_of_the_last_character_but_one_is_refused() -> None:
    """Base64 would read several as the same bytes."""
    letters = string.ascii_letters + string.digits + "-_"
    tokens = {LINKS.token(CLAIM._replace(target="d" * length)) for length in (1, 2, 3)}
    for token in tokens:
        for letter in set(letters) - {token[-1]}:
            with pytest.raises(NotOurs):
                LINKS.read(token[:-1] + letter, at(1))


@given(st.text(max_size=200))
def test_what_somebody_made_up_is_refused(text: str) -> None:
    """Without a trace of why."""
    with pytest.raises(NotOurs):
        LINKS.read(text, at(1))


def test_a_shorter_and_a_longer_token_are_refused() -> None:
    """Padding included."""
    for token in ("", TOKEN[:-1], TOKEN[:20], TOKEN + "A", TOKEN + "=", TOKEN + "\n"):
        with pytest.raises(NotOurs):
            LINKS.read(token, at(1))


def test_a_token_is_good_until_it_expires() -> None:
    """What has expired says for what it was good."""
    assert LINKS.read(TOKEN, Instant(at(60) - 1)) == CLAIM
    with pytest.raises(Expired) as expired:
        LINKS.read(TOKEN, at(60))
    assert expired.value.claim == CLAIM


def test_a_secret_can_be_changed_without_breaking_links() -> None:
    """As long as the previous one is named; new links are made with the new one, and a third is nobody's."""
    old, rotated, after = (Links("", secrets, DAY) for secrets in ([OLD], [NEW, OLD], [NEW]))
    assert rotated.read(old.token(CLAIM), at(1)) == CLAIM
    assert after.read(rotated.token(CLAIM), at(1)) == CLAIM
    for stranger in (after, Links("", [OTHER], DAY)):
        with pytest.raises(NotOurs):
            stranger.read(old.token(CLAIM), at(1))


def test_a_token_tells_nobody_what_it_says() -> None:
    """An incident can be called after a customer, and links end up in logs: no run of its bytes is that of the id."""
    raw = urlsafe_b64decode(TOKEN + "=" * (-len(TOKEN) % 4))
    assert b"C-7" not in raw
    assert b"desk" not in raw
    said = CLAIM.incident_id.encode()
    assert not any(said[place : place + 3] in raw for place in range(len(said) - 2))


def test_a_message_has_the_same_link_at_every_attempt() -> None:
    """It lasts from when the message would be given up, whichever attempt gets through."""
    first, second = a_delivery(), a_delivery()._replace(attempts=5, next_attempt_at=at(20))
    link = LINKS.link(first, "ops")
    assert link == LINKS.link(second, "ops")
    base, _, token = link.partition("/a/")
    assert base == "https://puntual.example.com/shop"
    assert LINKS.read(token, at(1)) == Claim("ops", at(0), "desk", Instant(at(60) + 7 * DAY))


def test_a_message_about_no_known_run_has_no_link() -> None:
    """An answer to it would be one to any run."""
    assert not LINKS.link(a_delivery(Instant(0)), "ops")
