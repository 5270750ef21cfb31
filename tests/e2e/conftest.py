"""A real browser on a running server, opened once; whatever its console says fails the test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from pytest_django.live_server_helper import LiveServer

from optimiser.demo import triton
from tests.conftest import drop_partitions, require
from tests.e2e import demo as demos
from tests.e2e import estate
from tests.e2e.quiet import others_yield
from tests.e2e.signing_in import sign_in

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first is the same engine without windows, at two thirds of the processor time."""
PLAIN_AND_QUICK = {
    "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
    "STORAGES": {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    },
}
"""Without the manifest that `collectstatic` writes, and with passwords hashed in no time."""

WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="package")
def browser(django_db_setup):
    path = next(filter(None, map(shutil.which, NAMES)), None)
    require(
        "chromium", None if path else "none is installed; apt-get install chromium-headless-shell"
    )
    playwright = pytest.importorskip("playwright.sync_api")
    with pytest.MonkeyPatch.context() as patch, playwright.sync_playwright() as driver:
        # Playwright runs an event loop in this thread, which Django takes for a mistake.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        # A small /dev/shm, as containers have, would crash a tab.
        opened = driver.chromium.launch(executable_path=path, args=["--disable-dev-shm-usage"])
        yield opened
        opened.close()


@pytest.fixture(scope="package")
def demo() -> Iterator[demos.Demo]:
    """`./run demo`, started once for all tests that need a live Triton behind the pages."""
    require("triton", triton.why_not())
    # It keeps a processor busy for as long as it lives, and its Triton is judged by the clock.
    others_yield()
    with tempfile.TemporaryDirectory(prefix="demo-", ignore_cleanup_errors=True) as folder:
        # Root's database account passes through, and so leaves nothing elsewhere.
        Path(folder).chmod(0o711)
        with demos.running(Path(folder)) as estate:
            yield estate


@pytest.fixture(scope="package")
def site(browser, django_db_blocker) -> Iterator[str]:
    """The address of a running server whose estate is committed once, for tests that only read."""
    with django_db_blocker.unblock(), override_settings(**PLAIN_AND_QUICK):
        # pytest-django makes a database only for tests that say they need one.
        assert connection.settings_dict["NAME"].startswith("test_"), "mark the test django_db"
        estate.build(spans_a_day=8, days=16, gpu_hours=6)
        estate.watch()
        server = LiveServer("localhost")
        yield server.url
        server.stop()
        call_command("flush", verbosity=0, interactive=False)
        drop_partitions()
        # The server's thread left its connections in the pool; the database could not be dropped.
        connection.close()
        connection.close_pool()


@dataclass
class Tab:
    """One page of the browser that remembers everything that went wrong in it."""

    page: object
    base: str
    wrong: list[str] = field(default_factory=list)

    def open(self, path: str):
        """The answer to a page that has loaded; modules have run by then, so charts are drawn."""
        return self.page.goto(f"{self.base}{path}", wait_until="load")

    def sign_in(self, username: str) -> None:
        self.page.context.clear_cookies()
        sign_in(self.page, self.base, username, estate.PASSWORD)

    def show(self, size: dict[str, int], theme: str) -> None:
        self.page.set_viewport_size(size)
        # Without motion, or colours would be measured on their way from one theme to the other.
        self.page.emulate_media(color_scheme=theme, reduced_motion="reduce")

    def expect(self, said: str) -> None:
        """Take back the one complaint about an answer that the test asked for."""
        [complaint] = self.wrong
        assert said in complaint
        self.wrong.clear()

    @property
    def overflow(self) -> int:
        """How many pixels the page is wider than its window."""
        return self.page.evaluate("document.documentElement.scrollWidth - innerWidth")


@pytest.fixture
def tab(browser, site) -> Iterator[Tab]:
    """Fails at its end when the console, the policy or the network complained."""
    context = browser.new_context(viewport=WIDE, accept_downloads=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    made = Tab(context.new_page(), site)
    page = made.page
    page.set_default_timeout(30_000)
    page.on(
        "console",
        lambda said: (
            made.wrong.append(f"{page.url}: {said.text}")
            if said.type in ("error", "warning")
            else None
        ),
    )
    page.on("pageerror", lambda error: made.wrong.append(f"{page.url}: {error}"))
    page.on(
        "requestfailed",
        lambda sent: (
            # The browser gives up what it was still fetching when the next page is opened.
            None
            if sent.failure == "net::ERR_ABORTED"
            else made.wrong.append(f"{sent.url}: {sent.failure}")
        ),
    )
    yield made
    context.close()
    assert made.wrong == []
