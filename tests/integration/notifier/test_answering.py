"""The link in a message as people use it: from the webhook to the page, and from its button to the record in Kafka."""

import re
import urllib.request
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode

import pytest

from services.notifier.codec import unpack
from services.notifier.incident import Incident, IncidentState
from services.notifier.responses import Action
from services.shared.topics import INCIDENTS, RESPONSES
from tests.chromium import chromium
from tests.integration.notifier.test_service import CONFIG, PARTITIONS, Site
from tests.processes import ServiceProcess, wait_for

ANSWERS = CONFIG + "answers: {{url: 'https://puntual.example.com', secret: env:ANSWER_SECRET}}\n"


def linked(kafka: str, prefix: str, directory: Path) -> Iterator[Site]:
    """A site whose messages have links."""
    place = Site(kafka, prefix, directory)
    place.configure(ANSWERS)
    with place.publisher:
        yield place
    place.close()


@pytest.fixture
def site(kafka: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """On each broker in turn."""
    monkeypatch.setenv("ANSWER_SECRET", "a secret of more than 32 characters")
    yield from linked(kafka, prefix, tmp_path)


@pytest.fixture
def embedded_site(embedded_kafka: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """What a browser shows does not depend on the broker."""
    monkeypatch.setenv("ANSWER_SECRET", "a secret of more than 32 characters")
    yield from linked(embedded_kafka, prefix, tmp_path)


def told(site: Site, worker: ServiceProcess) -> str:
    """Where the page is of a breach that the webhook was told of: what is behind the public address."""
    site.announce("A-1", "BROKEN", "broken")
    wait_for(lambda: bool(site.web.received), 30, worker.output)
    link = site.web.received[0]["link"]
    assert link.startswith("https://puntual.example.com/a/")
    return link.replace("https://puntual.example.com", worker.answers)


def get(url: str, form: dict[str, str] | None = None) -> str:
    """A page; with a form, the one that answering it leads to."""
    data = urlencode(form).encode() if form else None
    with urllib.request.urlopen(url, data, timeout=30) as answer:  # noqa: S310 - the worker's
        return str(answer.read().decode())


def keep(file: Path, picture: bytes) -> None:
    """For whoever wants to look (--basetemp)."""
    file.write_bytes(picture)


def is_shown(url: str) -> bool:
    """Whether the page is there; False while partitions move."""
    try:
        return "Nobody is seeing to it" in get(url)
    except HTTPError as error:
        if error.code == HTTPStatus.SERVICE_UNAVAILABLE:
            return False
        raise


def record(site: Site) -> Incident:
    """The incident as Kafka has it."""
    values = [entry.value for entry in site.read(INCIDENTS.name) if entry.value]
    return unpack(values[-1])


def test_a_link_answers_once_its_button_is_pressed(site: Site) -> None:
    """To look changes nothing, as often as a mail scanner likes; a double click counts once; no path is logged."""
    with site.worker() as worker:
        url = told(site, worker)
        pages = [get(url) for _ in range(3)]
        assert all("Nobody is seeing to it" in page and "A-1" in page for page in pages)
        assert not site.read(RESPONSES.name)
        assert record(site).state == IncidentState.OPEN
        form = {"answer": "acknowledge", "nonce": re.findall(r'name="nonce" value="([\w-]+)"', pages[0])[0]}
        for _ in range(2):
            assert "Thank you. You are seeing to it" in get(url, form)
        wait_for(lambda: record(site).state == IncidentState.ACKNOWLEDGED, 10, worker.output)
        attention = record(site).attention
        assert attention.acknowledgement
        assert attention.acknowledgement.by == "crm"
        assert [(said.action, said.by, said.via) for said in attention.responses] == [
            (Action.ACKNOWLEDGE, "crm", "page")
        ]
        assert "You are seeing to it" in get(url)
        assert url.rpartition("/")[2] not in worker.output()
    assert len(site.read(RESPONSES.name)) == 2


def test_every_worker_shows_and_takes_answers_for_every_incident(
    real_kafka: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind one address nobody knows which worker keeps it: the others ask that one."""
    monkeypatch.setenv("ANSWER_SECRET", "a secret of more than 32 characters")
    for site in linked(real_kafka, prefix, tmp_path):
        settings: dict[str, Any] = {"partitions": PARTITIONS, "notifier": site.config}
        with (
            ServiceProcess("notifier", real_kafka, prefix, instance="one", **settings) as one,
            ServiceProcess("notifier", real_kafka, prefix, instance="two", **settings) as two,
        ):
            url = told(site, one)
            urls = [url, url.replace(one.answers, two.answers)]
            for address in urls:
                wait_for(partial(is_shown, address), 30, two.output)
            for address in urls:
                nonce = re.findall(r'name="nonce" value="([\w-]+)"', get(address))[0]
                assert "Your words stand below." in get(address, {"answer": "comment", "comment": "Hm", "nonce": nonce})
            assert len(record(site).attention.responses) == 2


async def test_the_button_is_at_the_thumb_and_works_in_a_browser(embedded_site: Site, tmp_path: Path) -> None:
    """On a phone in the dark and on a desk: without scrolling, without scripts, with our style let in by the policy."""
    with embedded_site.worker() as worker:
        url = told(embedded_site, worker)
        async with chromium(tmp_path) as browser:
            await browser.open(url, 1280, 800)
            keep(tmp_path / "desk.png", await browser.screenshot())
            assert (await browser.box("button.main"))["width"] < 700
            await browser.open(url, 390, 844, dark=True)
            keep(tmp_path / "phone.png", await browser.screenshot())
            assert await browser.see("document.title") == "Promise broken"
            assert await browser.see("document.documentElement.scrollWidth") == 390
            assert await browser.see("getComputedStyle(document.body).backgroundColor") == "rgb(13, 15, 18)"
            button = await browser.box("button.main")
            assert button["width"] > 340
            assert button["height"] >= 60
            assert 700 < button["y"] < button["bottom"] <= 844
            await browser.click("button.main")
            await browser.until("document.querySelector('.notice') !== null")
            assert "You are seeing to it" in await browser.see("document.querySelector('.notice').innerText")
            assert await browser.see("document.querySelector('button.main')") is None
            keep(tmp_path / "answered.png", await browser.screenshot())
        wait_for(lambda: record(embedded_site).state == IncidentState.ACKNOWLEDGED, 10, worker.output)
