"""Asha, Ben and Cleo, a project of one team, and channels that nobody listens at."""

from __future__ import annotations

import pytest
from django.utils import timezone

from finops.models import Channel
from ingest.models import Project
from tests.factories.finops import person


@pytest.fixture
def chat(db):
    return Project.objects.create(slug="chat", name="Chat")


@pytest.fixture
def asha(db):
    return person("asha", "analyst")


@pytest.fixture
def channel(db):
    """`channel("ops")` is the id of a new one."""

    def made(name: str) -> int:
        return Channel.objects.create(kind="email", name=name, state_at=timezone.now()).pk

    return made
