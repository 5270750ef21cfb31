import pytest
from django.contrib.auth.models import Group

from finops import access
from finops.actions import people
from finops.models import Audit, Membership, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(client):
    access.ensure_roles()
    user = User.objects.create_user("ada", is_staff=True)
    people.give_role(user, "admin", via="command")
    client.force_login(user)
    return user


def test_nobody_gives_a_role_to_themselves(ada):
    with pytest.raises(people.Refused, match="ask another admin"):
        people.give_role(ada, "approver", by=ada, via="page")


def test_nor_through_djangos_own_admin(ada, client):
    form = {"user": ada.pk, "role": Group.objects.get(name="approver").pk}
    answer = client.post("/admin/finops/membership/add/", form)
    assert "ask another admin" in answer.content.decode()
    assert Membership.objects.filter(user=ada).count() == 1


def test_admin_gives_a_role_to_somebody_else_and_it_is_audited(ada, client):
    ben = User.objects.create_user("ben")
    form = {"user": ben.pk, "role": Group.objects.get(name="approver").pk}
    assert client.post("/admin/finops/membership/add/", form).status_code == 302
    assert ben.has_perm("finops.approve_change")
    entry = Audit.objects.order_by("id").last()
    assert (entry.actor, entry.via, entry.action) == (ada, "admin", "membership.add")


def test_token_is_shown_once_and_stops_when_revoked(ada):
    token, text = people.issue_token(ada, "script", "read", via="page")
    assert people.user_of_token(text).user == ada
    assert people.user_of_token(text[:-1] + "x") is None
    people.revoke_token(token, by=ada, via="page")
    assert people.user_of_token(text) is None
    assert text.split("_", 2)[2] not in str(list(Audit.objects.values()))


# The last admin


@pytest.fixture
def root(client, ada):
    """Who may open Django's admin without holding a role."""
    user = User.objects.create_superuser("root")
    client.force_login(user)
    return user


def make_admin(name, *, is_staff=True):
    user = User.objects.create_user(name, is_staff=is_staff)
    people.give_role(user, "admin", via="command")
    return user


def test_role_of_the_last_admin_is_not_taken(ada):
    with pytest.raises(people.Refused, match="the only admin left"):
        people.take_role(ada.memberships.get(), by=None, via="command")
    assert ada.memberships.count() == 1
    assert not Audit.objects.filter(action="role.take").exists()


def test_role_of_one_of_two_admins_is_taken_and_audited(ada):
    mallory = make_admin("mallory")
    people.take_role(mallory.memberships.get(), by=ada, via="page")
    record = Audit.objects.get(action="role.take")
    assert record.detail == {"user": "mallory", "role": "admin", "scope": "organisation"}


def test_admin_who_cannot_open_the_admin_pages_is_no_other_admin(ada):
    make_admin("mallory", is_staff=False)
    with pytest.raises(people.Refused, match="staff status"):
        people.take_role(ada.memberships.get(), by=None, via="command")


def test_other_roles_are_taken_as_before(ada):
    asha = User.objects.create_user("asha")
    people.take_role(people.give_role(asha, "analyst", via="command"), by=ada, via="page")
    assert not asha.memberships.exists()


@pytest.mark.parametrize("given", [{"is_staff": "on"}, {"is_active": "on"}])
def test_last_admin_is_neither_switched_off_nor_kept_from_the_admin_pages(root, client, ada, given):
    form = {"username": "ada", "first_name": "", "last_name": "", "email": "", "time_zone": "UTC"}
    answer = client.post(f"/admin/finops/user/{ada.pk}/change/", form | given, follow=True)
    assert "This is the only admin left" in answer.text
    ada.refresh_from_db()
    assert (ada.is_active, ada.is_staff) == (True, True)
    make_admin("mallory")
    client.post(f"/admin/finops/user/{ada.pk}/change/", form | given)
    ada.refresh_from_db()
    assert (ada.is_active, ada.is_staff) != (True, True)


def test_membership_of_the_last_admin_stays_through_djangos_own_admin(root, client, ada):
    member = ada.memberships.get()
    address = f"/admin/finops/membership/{member.pk}"
    viewer = Group.objects.get(name="viewer").pk
    several = {"action": "delete_selected", "_selected_action": member.pk, "post": "yes"}
    for path, form in (
        (f"{address}/delete/", {"post": "yes"}),
        (f"{address}/change/", {"user": ada.pk, "role": viewer}),
        ("/admin/finops/membership/", several),
    ):
        assert "This is the only admin left" in client.post(path, form, follow=True).text, path
    member.refresh_from_db()
    assert member.role.name == "admin"
    make_admin("mallory")
    client.post(f"{address}/delete/", {"post": "yes"})
    assert not ada.memberships.exists()
