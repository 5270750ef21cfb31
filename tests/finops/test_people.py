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
