"""Open reports of runs in headless Chromium, and hold them to what no parser can see.

    python benchmarks/report_in_browser.py [--screenshots DIRECTORY] [--case NAME]

Each of the reports that the tests render (a recorded run, 50 rounds of 20 owners, errors, hostile names, …) is opened
1280 and 400 pixels wide, in light and in dark, and printed. The check fails if the console has a word, if the page asks
for anything but itself, if it is wider than the window, or if text leaves its drawing. Without the commands
``chromium`` and ``chromedriver`` (Debian: ``apt-get install chromium chromium-driver``) nothing is checked: it says so
and ends with code 2. The test suite does without them.
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from syft_flwr.flower.report import render_report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "flower"))
from report_cases import CASES

COMMANDS = ("chromium", "chromedriver")
WIDTHS = (1280, 400)
SCHEMES = ("light", "dark")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",  # they would cover the edge of a narrow screenshot
)
START_TIMEOUT = 30.0

OVERFLOWS = """
const wide = document.documentElement.scrollWidth - window.innerWidth;
const out = [...document.querySelectorAll("svg[viewBox] text")].filter(text => {
  const box = text.getBBox(), view = text.ownerSVGElement.viewBox.baseVal;
  return box.x < -0.5 || box.x + box.width > view.width + 0.5 || box.y < -0.5 || box.y + box.height > view.height + 0.5;
});
return [...(wide > 0 ? [`the page is ${wide} px wider than the window`] : []),
        ...out.map(text => `leaves its drawing: ${text.textContent.slice(0, 80)}`)];
"""


class Browser:
    """One session of chromedriver, spoken to in the WebDriver protocol."""

    def __init__(self, port: int, profile: Path) -> None:
        self._base = f"http://127.0.0.1:{port}"
        self._await_start()
        options = {
            "binary": shutil.which("chromium"),
            "args": [*FLAGS, f"--user-data-dir={profile}"],
        }
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        session = self._call("/session", {"capabilities": {"alwaysMatch": wanted}})
        self._base += f"/session/{session['sessionId']}"
        self._call("/url", {"url": "about:blank"})
        self.requests()  # those of the browser's own first page

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        urllib.request.urlopen(urllib.request.Request(self._base, method="DELETE"), timeout=60).close()

    def show(self, page: Path, width: int, scheme: str) -> None:
        self._command("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self._command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._call("/url", {"url": page.as_uri()})

    def overflows(self) -> list[str]:
        found: list[str] = self._call("/execute/sync", {"script": OVERFLOWS, "args": []})
        return found

    def console(self) -> list[str]:
        return [entry["message"] for entry in self._call("/se/log", {"type": "browser"})]

    def requests(self) -> list[str]:
        """Return the addresses that were asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self._call("/se/log", {"type": "performance"})]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def screenshot(self) -> bytes:
        return base64.b64decode(self._command("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def pdf(self) -> bytes:
        return base64.b64decode(self._command("Page.printToPDF", preferCSSPageSize=True)["data"])

    def _command(self, name: str, **parameters: object) -> Any:
        return self._call("/goog/cdp/execute", {"cmd": name, "params": parameters})

    def _call(self, path: str, body: object) -> Any:
        request = urllib.request.Request(self._base + path, json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def _await_start(self) -> None:
        end = time.monotonic() + START_TIMEOUT
        while True:
            try:
                urllib.request.urlopen(f"{self._base}/status", timeout=5).close()
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
            else:
                return


@contextmanager
def browser() -> Iterator[Browser]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        driver = subprocess.Popen(
            ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            with Browser(port, Path(profile)) as session:
                yield session
        finally:
            driver.terminate()
            driver.wait(30)


def check(session: Browser, name: str, pages: Path, screenshots: Path | None) -> list[str]:
    """Return what is wrong with one report."""
    page = pages / f"{name}.html"
    page.write_text(render_report(CASES[name]()), encoding="utf-8")
    flaws = []
    for width in WIDTHS:
        for scheme in SCHEMES:
            session.show(page, width, scheme)
            flaws += [f"{width} px, {scheme}: {flaw}" for flaw in session.overflows()]
            if screenshots:
                (screenshots / f"{name}-{width}-{scheme}.png").write_bytes(session.screenshot())
    printed = session.pdf()
    if screenshots:
        (screenshots / f"{name}.pdf").write_bytes(printed)
    flaws += [f"console: {message}" for message in session.console()]
    flaws += [f"asks for {url[:80]}" for url in session.requests() if url not in (page.as_uri(), "data:,")]
    return flaws


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--screenshots", type=Path, help="keep screenshots and prints in this directory")
    parser.add_argument("--case", action="append", choices=sorted(CASES), help="only this report; repeat it")
    options = parser.parse_args()
    if missing := [command for command in COMMANDS if shutil.which(command) is None]:
        print(f"NOT CHECKED: no {' and no '.join(missing)} here (Debian: apt-get install chromium chromium-driver)")
        return 2
    if options.screenshots:
        options.screenshots.mkdir(parents=True, exist_ok=True)
    failed = False
    with tempfile.TemporaryDirectory() as pages, browser() as session:
        for name in options.case or CASES:
            flaws = check(session, name, Path(pages), options.screenshots)
            failed = failed or bool(flaws)
            print(f"{name}: {'ok' if not flaws else ''}", *flaws, sep="\n  " if flaws else "")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
