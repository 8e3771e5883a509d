"""What names and ids from outside become in messages: nothing that can be clicked on, nothing that cannot be seen."""

import json

import pytest

from services.notifier.own_words import OwnWords
from services.notifier.wording import LANGUAGES, Occasion, Style, word
from services.shared.keys import record_key
from tests.unit.notifier.builders import an_item
from tests.unit.notifier.test_own_words import SAMPLES
from tests.unit.notifier.test_wording import DETAILS, a_delivery


@pytest.mark.parametrize("language", sorted(LANGUAGES))
@pytest.mark.parametrize(
    "address", ["https://evil.example/x", "www.evil.example", "evil.example/x", "HTTPS://EVIL.EXAMPLE"]
)
def test_no_name_or_id_can_be_clicked_on(language: str, address: str) -> None:
    """Subject, text and commands, in built-in and in own words; our own link can, and machines get ids as they are."""
    details = DETAILS._replace(customer_name=address, reason=address, site=address, team=address)
    key = record_key("C-7", "order_ready", address).decode()
    items = [an_item(details=details)._replace(record_id=key), an_item(subject="b", details=details)]
    for own in (
        {},
        {"breach": OwnWords("{{ lines[0].subject }}\n{{ lines[0].customer }} {{ lines[0].where }}", SAMPLES)},
    ):
        style = Style(language, show_customer=True, templates=own)
        delivery = a_delivery(*items)._replace(by=address)
        link = "https://puntual.example.com/a/x"
        said = word(delivery, f"ops/site={address}", style, Occasion(link=link))
        for text in (said.subject, said.text.replace(link, "")):
            assert "://" not in text
            assert "evil.example" not in text.lower()
        assert bool(own) is (link not in said.text)
        assert not said.misworded
        assert "evil[.]example" in f"{said.subject} {said.text}".lower()
        assert f'"subject_id": "{address}"' in json.dumps(said.payload)


def test_what_own_words_make_of_a_template_is_cleaned() -> None:
    """An escape that is spelt out in a template passes for text until it is filled in."""
    own = {"breach": OwnWords("{{ '\\x1b[31m' }}{{ subject }}\n{{ '\\x1b[2J\\u202e' }}one\ntwo", SAMPLES)}
    said = word(a_delivery(), "ops", Style("en", templates=own))
    assert not set("\x1b\u202e") & set(said.subject + said.text)
    assert said.text.endswith("one\ntwo")
