"""The frames link every style sheet there is, in the order in which their layers are named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client

pytestmark = pytest.mark.django_db

CSS = Path(settings.BASE_DIR) / "static" / "css"
OF_CHARTS = {"plotly"}
"""Linked only where something is drawn."""


def linked(html: str) -> list[str]:
    return re.findall(r'<link rel="stylesheet" href="/static/css/(\w+)\.css"', html)


def test_both_frames_link_every_sheet_once_and_in_one_order(plain_static, django_user_model):
    client = Client()
    bare = linked(client.get("/sign-in").text)
    assert sorted(bare) == sorted({sheet.stem for sheet in CSS.iterdir()} - OF_CHARTS)
    client.force_login(django_user_model.objects.create_user("asha"))
    assert linked(client.get("/settings/tokens").text) == bare


def test_layers_are_put_in_order_before_any_is_filled(plain_static):
    sheets = linked(Client().get("/sign-in").text)
    text = "".join((CSS / f"{name}.css").read_text() for name in sheets)
    layers = re.findall(r"^@layer ([\w, ]+)[;{]", text, re.MULTILINE)
    assert layers[0] == "base, layout, parts, states"
    assert {name.strip() for name in layers[1:]} == set(layers[0].split(", "))


def test_only_the_tokens_know_the_theme():
    """So that no rule depends on theme and width together, which the browser's tests rely on."""
    knowing = {
        sheet.stem
        for sheet in CSS.iterdir()
        if re.search(r"light-dark\(|prefers-color-scheme|data-theme", sheet.read_text())
    }
    assert knowing == {"tokens"}
    assert not re.search(r"@media[^{]*width", (CSS / "tokens.css").read_text())
