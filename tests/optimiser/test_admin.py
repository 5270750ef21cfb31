"""Django's admin shows the loop and changes nothing of it, whoever sits there."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.test import Client

from finops.models import User
from optimiser.models import Approval, Change
from tests.optimiser import made

MODELS = [model for model in admin.site._registry if model._meta.app_label == "optimiser"]


@pytest.fixture(params=["ada", "root"])
def staff(people, request):
    """An admin of the house, and a superuser of Django's."""
    if request.param == "root":
        people["root"] = User.objects.create_superuser("root")
    user = people[request.param]
    user.is_staff = True
    user.save()
    client = Client()
    client.force_login(user)
    return client


def test_everything_that_decides_is_there_to_be_read():
    assert {model._meta.model_name for model in MODELS} == {
        "server", "target", "calibration", "evidence", "recommendation", "change", "approval",
        "rollout", "verdict",
    }  # fmt: skip


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.model_name)
def test_nothing_is_added_changed_or_removed(staff, rollout, model):
    made.verdict(rollout)
    made.CalibrationFactory(target=rollout.target)
    base = f"/admin/optimiser/{model._meta.model_name}/"
    row = model.objects.first()
    assert staff.get(base).status_code == 200
    assert staff.get(f"{base}{row.pk}/change/").status_code == 200
    before = list(model.objects.values())

    assert staff.post(f"{base}add/", {"state": "approved"}).status_code == 403
    assert staff.post(f"{base}{row.pk}/change/", {"state": "approved"}).status_code == 403
    assert staff.post(f"{base}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    staff.post(base, chosen)
    assert list(model.objects.values()) == before


def test_proposer_does_not_approve_in_the_admin(staff, people, change):
    """The form of an approval, as its proposer would fill it in."""
    given = {
        "change": change.pk,
        "proposer": change.proposer_id,
        "approver": people["ben"].pk,
        "plan_hash": change.plan_hash,
        "decision": "approve",
        "via": "page",
    }
    assert staff.post("/admin/optimiser/approval/add/", given).status_code == 403
    assert not Approval.objects.exists()
    assert Change.objects.get().state == "proposed"


def test_admin_key_is_not_shown(staff, target):
    target.server.admin_key = b"a secret that is encrypted"
    target.server.save()
    assert "encrypted" not in staff.get(f"/admin/optimiser/server/{target.server_id}/change/").text
