import json
import stat
from pathlib import Path

import pytest
from django.contrib.auth import authenticate
from django.core.management import call_command
from django.db import transaction

from finops import access, audit
from finops.models import (
    AllocationRule,
    Budget,
    Membership,
    PriceBook,
    SloDecision,
    SloProposal,
    User,
)
from ingest import tokens
from ingest.models import KeptLabel, Project, Source

pytestmark = pytest.mark.django_db


class Demo:
    """Set up in a folder, as often as it is asked to."""

    def __init__(self, folder: Path):
        self.signins, self.push_tokens = folder / "signins.json", folder / "tokens"
        self.set_up()

    def set_up(self) -> None:
        call_command("setup", demo=True, signins=self.signins, push_tokens=self.push_tokens)

    @property
    def people(self) -> list[dict[str, str]]:
        return json.loads(self.signins.read_text())


@pytest.fixture(scope="module")
def demo(django_db_setup, django_db_blocker, tmp_path_factory):
    """Made once, in a transaction around those of the tests."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield Demo(tmp_path_factory.mktemp("demo"))
        transaction.set_rollback(True)


def test_live_setup_makes_one_admin_with_a_password_shown_once(tmp_path, capsys):
    file = tmp_path / "signins.json"
    call_command("setup", signins=file)
    (entry,) = json.loads(file.read_text())
    assert authenticate(username="admin", password=entry["password"]).is_staff
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    call_command("setup", signins=file)
    assert User.objects.count() == 1


def test_demo_setup_may_be_repeated_and_keeps_passwords_and_tokens(demo):
    first = demo.people
    token = (demo.push_tokens / "support-chat").read_text()
    demo.set_up()
    assert demo.people == first
    assert (demo.push_tokens / "support-chat").read_text() == token
    assert {entry["role"] for entry in first} == {
        "viewer", "analyst", "engineer", "approver", "admin",
    }  # fmt: skip
    for entry in first:
        assert authenticate(username=entry["username"], password=entry["password"])


def test_demo_has_budgets_that_are_watched_once(demo):
    demo.set_up()
    assert sorted(Budget.objects.values_list("name", "currency")) == [
        ("All AI spend", "USD"),
        ("Code assist", "USD"),
    ]


def test_demo_tokens_push_for_their_own_source(demo):
    header = f"Bearer {(demo.push_tokens / 'code-assist').read_text().strip()}"
    assert tokens.authenticate(header, "traces:write").source.project.slug == "code-assist"


def test_cleo_sees_one_project_and_ada_cannot_approve(demo):
    cleo, ada = User.objects.get(username="cleo"), User.objects.get(username="ada")
    assert [p.slug for p in access.visible_projects(cleo).all] == ["support-chat"]
    assert not ada.has_perm("finops.approve_change")
    assert ada.has_perm("finops.manage_people")
    assert Project.objects.filter(slug="digit-reader").exists()


def test_everything_setup_did_is_in_the_audit_chain(demo):
    people = User.objects.count() + Membership.objects.count()
    assert audit.verify().is_whole
    made = PriceBook.objects.count() + Budget.objects.count() + AllocationRule.objects.count()
    made += SloProposal.objects.count() + SloDecision.objects.count()
    made += KeptLabel.objects.count()
    assert audit.verify().records == people + made


def test_setup_seeds_the_price_book_once(demo):
    books = PriceBook.objects.count()
    demo.set_up()
    assert PriceBook.objects.count() == books
    assert Source.objects.filter(is_sample=True).count() == 7
