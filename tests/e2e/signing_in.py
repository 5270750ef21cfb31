"""Signing in as a person does, in a browser."""

from __future__ import annotations

from typing import Any


def sign_in(page: Any, base: str, username: str, password: str) -> None:
    """Ends on the overview; whatever else the server showed is in the failure."""
    page.goto(f"{base}/sign-in")
    page.get_by_label("User name").fill(username)
    page.get_by_label("Password").fill(password)
    with page.expect_navigation():
        page.get_by_role("button", name="Sign in").click()
    assert page.url == f"{base}/", f"{page.url}: {page.locator('body').inner_text()[:500]}"
