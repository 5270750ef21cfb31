"""The people of the house over one project, with a target in it."""

from __future__ import annotations

import pytest
from django.test import Client

from finops.models import User
from tests.factories.finops import person
from tests.factories.ingest import ProjectFactory
from tests.optimiser import made

ROLES = {"asha": "analyst", "ben": "approver", "dev": "engineer", "ada": "admin"}


@pytest.fixture
def people(db) -> dict[str, User]:
    """Asha, Ben, Dev and Ada of the organisation; Cleo, who reads another project alone."""
    found = {name: person(name, role) for name, role in ROLES.items()}
    found["cleo"] = person("cleo", "viewer", project=ProjectFactory(slug="elsewhere"))
    return found


@pytest.fixture
def target(db):
    return made.TargetFactory(
        model="chat", server__name="triton-a", project__slug="support", pool__name="h100-eu"
    )


@pytest.fixture
def advice(target):
    return made.RecommendationFactory(target=target)


@pytest.fixture
def change(people, advice):
    """Proposed by Dev."""
    return made.proposed(people["dev"], advice)


@pytest.fixture
def rollout(people, change):
    """Approved by Ben, with three of its eight blocks measured."""
    return made.begun(made.approved(change, people["ben"]), blocks=3)


@pytest.fixture
def sign_in(people):
    """`sign_in("asha")` is a client of hers."""

    def signed_in(username: str) -> Client:
        client = Client()
        client.force_login(people[username])
        return client

    return signed_in
