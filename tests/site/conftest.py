"""The built site on loopback, and a headless Chromium to open it.

We control the browser with the W3C's WebDriver protocol, which is plain JSON over HTTP.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

# The key of an element in a response, as defined by the protocol.
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """One window of a session."""

    def __init__(self, session: str) -> None:
        self._session = session

    def __call__(self, method: str, path: str, **body: object) -> Any:
        data = json.dumps(body).encode() if method == "POST" else None
        request = urllib.request.Request(
            self._session + path, data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, address: str, width: int) -> None:
        # A window cannot be narrower than 500 pixels, but the viewport can.
        self("POST", "/goog/cdp/execute", cmd="Emulation.setDeviceMetricsOverride", params=_screen(width))
        self("POST", "/url", url=address)

    def run(self, script: str) -> Any:
        return self("POST", "/execute/sync", script=script, args=[])

    def type(self, selector: str, text: str) -> None:
        element = self("POST", "/element", using="css selector", value=selector)[_ELEMENT]
        self("POST", f"/element/{element}/click")
        self("POST", f"/element/{element}/value", text=text)

    def wait(self, script: str, seconds: float = 20) -> Any:
        """The first result of the script that is not null."""
        end = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < end, f"not within {seconds} s: {script}"
            time.sleep(0.1)
        return value

    def console(self) -> list[str]:
        """The errors of pages and of the network since the last call.

        Warnings are ignored: the search logs one for each letter typed before its index has loaded.
        """
        return [entry["message"] for entry in self("POST", "/se/log", type="browser") if entry["level"] == "SEVERE"]

    def screenshot(self) -> bytes:
        return base64.b64decode(self("GET", "/screenshot"))


def _screen(width: int) -> dict[str, object]:
    return {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start Chromium on a free port, and stop it at the end."""
    chromedriver, chromium = shutil.which("chromedriver"), shutil.which("chromium")
    if chromedriver is None or chromium is None:
        pytest.skip("needs Chromium: apt-get install chromium chromium-driver")
    with subprocess.Popen([chromedriver, "--port=0"], stdout=subprocess.PIPE, text=True) as driver:
        try:
            assert driver.stdout is not None
            port = next(found[1] for line in driver.stdout if (found := re.search(r"successfully on port (\d+)", line)))
            options = {
                "binary": chromium,
                # In a container, the sandbox does not work, and /dev/shm is too small.
                "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
            }
            wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            sessions = Browser(f"http://127.0.0.1:{port}/session")
            session = sessions("POST", "", capabilities={"alwaysMatch": wanted})["sessionId"]
            started = Browser(f"http://127.0.0.1:{port}/session/{session}")
            yield started
            started("DELETE", "")
        finally:
            driver.terminate()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="session")
def built(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site that `make docs` builds."""
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("needs mkdocs: pip install 'flskew[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    subprocess.run(command, cwd=repository, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, check=True)
    return folder


@contextlib.contextmanager
def _serve(folder: Path) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def serve() -> Callable[[Path], AbstractContextManager[str]]:
    """Serve a folder; the context is its address."""
    return _serve


@pytest.fixture(scope="session")
def address(built: Path) -> Iterator[str]:
    """The address of the site."""
    with _serve(built) as served:
        yield served
