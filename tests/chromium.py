"""Chromium, driven over its DevTools protocol: opens a page at a size, clicks where things are, and looks."""

import asyncio
import json
import shutil
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.conftest import left_out

#: Seconds that anything may take on a busy machine.
PATIENCE = 60


class Chromium:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._calls = 0
        self._tab = ""

    async def open(self, url: str, width: int, height: int, *, dark: bool = False) -> None:
        """Go to a page on a screen of that size."""
        if not self._tab:
            target = await self._call("Target.createTarget", url="about:blank")
            attached = await self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
            self._tab = attached["sessionId"]
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self._call("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < height}
        await self._call("Emulation.setDeviceMetricsOverride", **size)
        await self._call("Page.navigate", url=url)
        await self.until("document.readyState == 'complete' && location.href != 'about:blank'")

    async def see(self, expression: str) -> Any:
        """The value of an expression in JavaScript."""
        answer = await self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until it is true."""
        async with asyncio.timeout(PATIENCE):
            while not await self.see(expression):  # noqa: ASYNC110 - nothing here is told when a page changes
                await asyncio.sleep(0.1)

    async def click(self, selector: str) -> None:
        """Click into the middle of what is there now, without scrolling to it."""
        place = f"(box => [box.x + box.width / 2, box.y + box.height / 2])({_box(selector)})"
        x, y = await self.see(place)
        for kind in ("mousePressed", "mouseReleased"):
            await self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def box(self, selector: str) -> dict[str, float]:
        """Where something is on the screen: x, y, width, height, bottom and so on."""
        return dict(await self.see(f"{_box(selector)}.toJSON()"))

    async def screenshot(self) -> bytes:
        """What is on the screen, as PNG."""
        return b64decode((await self._call("Page.captureScreenshot"))["data"])

    async def _call(self, method: str, **parameters: object) -> Any:
        self._calls += 1
        session = {"sessionId": self._tab} if self._tab else {}
        await self._socket.send_json({"id": self._calls, "method": method, "params": parameters, **session})
        async with asyncio.timeout(PATIENCE):
            while (answer := json.loads(await self._socket.receive_str())).get("id") != self._calls:
                pass  # events
        assert "error" not in answer, answer
        return answer["result"]


def _box(selector: str) -> str:
    return f"document.querySelector({selector!r}).getBoundingClientRect()"


@asynccontextmanager
async def chromium(directory: Path) -> AsyncIterator[Chromium]:
    """A browser with an empty profile in `directory`; skips the test where there is none."""
    program = shutil.which("chromium")
    if program is None:
        left_out("there is no Chromium; apt-get install chromium")
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--hide-scrollbars")
    process = await asyncio.create_subprocess_exec(
        program, *flags, f"--user-data-dir={directory / 'profile'}", stderr=asyncio.subprocess.PIPE
    )
    try:
        assert process.stderr
        async with asyncio.timeout(PATIENCE):
            while b"DevTools listening on " not in (line := await process.stderr.readline()):
                assert line, "Chromium ended"
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(line.split()[-1].decode(), max_msg_size=0) as ws,
        ):
            yield Chromium(ws)
    finally:
        process.terminate()
        await process.communicate()
