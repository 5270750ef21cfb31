"""Two projects of two teams, an analyst over everything, and Cleo who sees one of them."""

from __future__ import annotations

import pytest
from django.http import QueryDict

from finops.queries.filters import Filters
from tests.factories.finops import person
from tests.factories.ingest import PoolFactory, ProjectFactory, SourceFactory


@pytest.fixture
def chat(db):
    return ProjectFactory(slug="chat", name="Chat", team__name="Support")


@pytest.fixture
def search(db):
    return ProjectFactory(slug="search", name="Search", team__name="Search team")


@pytest.fixture
def pool(db):
    return PoolFactory(name="h100", provider="triton")


@pytest.fixture
def bills(db):
    return SourceFactory(kind="focus_csv", name="Bills", project=None)


@pytest.fixture
def asha(db):
    return person("asha", "analyst")


@pytest.fixture
def cleo(chat):
    return person("cleo", "viewer", project=chat)


@pytest.fixture
def ask(asha):
    """`ask("from=…&to=…")` are Asha's filters; another reader may be named."""

    def asked(query: str, user=None) -> Filters:
        filters, errors = Filters.parse(QueryDict(query), user or asha)
        assert errors == []
        return filters

    return asked
