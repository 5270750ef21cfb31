"""Roles, scopes, and the door for signing in."""

import pytest
from django.contrib import admin
from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.models import Group, Permission
from django.core.cache import cache
from django.test import Client
from redis.exceptions import ConnectionError as CacheAway

from finops import access
from finops import settings as product
from finops.access import MembershipBackend, ensure_roles, visible_projects
from finops.models import Membership, User
from ingest.models import Project
from tests.factories.finops import UserFactory, person
from tests.factories.ingest import ProjectFactory, SourceFactory, TeamFactory

pytestmark = pytest.mark.django_db

APPROVE = "finops.approve_change"
WRONG = {"username": "asha", "password": "wrong"}


@pytest.fixture
def chat():
    return ProjectFactory(slug="chat", team=TeamFactory(name="Support"))


@pytest.fixture
def search():
    return ProjectFactory(slug="search", team=TeamFactory(name="Search"))


HELD = {
    ("viewer", "view_spend"), ("viewer", "view_requests"), ("viewer", "view_sources"),
    ("viewer", "view_bills"),
    *((role, name) for role in ("analyst", "engineer", "approver", "admin")
      for name in access.READING),
    ("analyst", "manage_prices"), ("analyst", "import_bills"), ("analyst", "manage_savings"),
    *((role, "manage_labels") for role in ("analyst", "admin")),
    *((role, "manage_events") for role in ("analyst", "engineer", "admin")),
    *((role, "handle_alerts") for role in ("analyst", "engineer", "approver")),
    *((role, "manage_alerts") for role in ("analyst", "admin")),
    ("analyst", "manage_budgets"), ("analyst", "manage_allocation"),
    *((role, "propose_slo") for role in ("analyst", "engineer")),
    ("engineer", "propose_change"),
    ("approver", "approve_change"), ("approver", "view_audit"),
    ("admin", "view_audit"), ("admin", "import_bills"), ("admin", "manage_sources"),
    ("admin", "manage_channels"),
    ("admin", "manage_people"), ("admin", "manage_targets"),
}  # fmt: skip


@pytest.mark.parametrize("role", access.ROLE_PERMISSIONS)
def test_role_over_the_organisation_holds_exactly_its_permissions(role):
    user = person("somebody", role)
    held = {name for name in access.PERMISSIONS if user.has_perm(f"finops.{name}")}
    assert held == {name for own, name in HELD if own == role}


def test_only_an_approver_may_approve_not_even_a_superuser():
    assert [role for role in access.ROLE_PERMISSIONS if person(role, role).has_perm(APPROVE)] == [
        "approver"
    ]
    root = UserFactory(is_superuser=True, is_staff=True)
    assert root.has_perm("finops.change_user")
    assert not any(root.has_perm(f"finops.{name}") for name in access.PERMISSIONS)
    assert visible_projects(root).all == ()


def test_django_admin_opens_for_the_role_admin_alone():
    opens = {
        role: person(role, role).has_perm("finops.change_user") for role in access.ROLE_PERMISSIONS
    }
    assert [role for role, may in opens.items() if may] == ["admin"]


def test_every_list_of_djangos_admin_opens_for_the_role_admin_and_no_other(plain_static):
    client = Client()
    models = [model for model in admin.site._registry if model is not Group]  # roles are code
    for role in access.ROLE_PERMISSIONS:
        user = person(role, role)
        User.objects.filter(pk=user.pk).update(is_staff=role == "admin")
        client.force_login(user)
        for model in models:
            path = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
            assert client.get(path).status_code == (200 if role == "admin" else 302), path


def test_setting_up_roles_again_repairs_them_and_changes_nothing_else():
    ensure_roles()
    viewer = Group.objects.get(name="viewer")
    viewer.permissions.add(Permission.objects.get(codename="approve_change"))
    count = Permission.objects.count()
    ensure_roles()
    assert {one.codename for one in viewer.permissions.all()} == set(access.READING)
    assert (Group.objects.count(), Permission.objects.count()) == (5, count)


def test_role_on_a_project_reaches_that_project_alone(chat, search):
    cleo = person("cleo", "viewer", project=chat)
    assert cleo.has_perm("finops.view_spend", chat)
    assert cleo.has_perm("finops.view_spend", SourceFactory(project=chat))
    assert not cleo.has_perm("finops.view_spend", search)
    assert not cleo.has_perm("finops.view_spend", SourceFactory(project=search))
    assert not cleo.has_perm("finops.view_spend")
    assert visible_projects(cleo).all == (chat,)


def test_role_on_a_team_reaches_its_projects_also_those_to_come(chat, search):
    dev = person("dev", "engineer", team=chat.team)
    assert visible_projects(dev).all == (chat,)
    new = ProjectFactory(team=chat.team)
    assert dev.has_perm("finops.propose_change", new)
    assert not dev.has_perm("finops.propose_change", search)


def test_project_without_a_team_is_in_nobodys_team(chat):
    dev = person("dev", "engineer", team=chat.team)
    assert not dev.has_perm("finops.view_spend", ProjectFactory(team=None))
    assert not dev.has_perm("finops.view_spend", Project.objects.unallocated())


def test_what_is_the_organisations_needs_a_role_over_it(chat):
    cleo = person("cleo", "viewer", project=chat)
    ben = person("ben", "approver", project=chat)
    for name in access.ORGANISATION_ONLY:
        assert not cleo.has_perm(f"finops.{name}", chat)
        assert not ben.has_perm(f"finops.{name}", chat)
    assert ben.has_perm(APPROVE, chat)
    assert not access.sees_organisation(cleo)
    assert access.sees_organisation(person("asha", "analyst"))


def test_roles_of_one_person_add_up_each_in_its_scope(chat, search):
    dev = person("dev", "viewer", project=chat)
    Membership.objects.create(user=dev, role=Group.objects.get(name="engineer"), project=search)
    dev = User.objects.get(pk=dev.pk)
    assert {project.slug for project in visible_projects(dev).all} == {"chat", "search"}
    assert dev.has_perm("finops.propose_change", search)
    assert not dev.has_perm("finops.propose_change", chat)


def test_inactive_person_may_do_nothing():
    ada = person("ada", "admin")
    ada.is_active = False
    assert not ada.has_perm("finops.view_spend")
    assert ada.get_all_permissions() == set()


def test_person_without_a_role_sees_nothing(chat):
    stranger = UserFactory()
    assert visible_projects(stranger).all == ()
    assert not access.anywhere(stranger, "finops.view_spend")


def test_memberships_are_read_once(chat, django_assert_num_queries):
    cleo = User.objects.get(pk=person("cleo", "viewer", project=chat).pk)
    with django_assert_num_queries(1):
        for _ in range(3):
            cleo.has_perm("finops.view_spend", chat)
            access.anywhere(cleo, "finops.view_audit")


def test_page_that_only_reads_asks_for_its_projects_once(chat, django_assert_num_queries):
    cleo = person("cleo", "viewer", project=chat)
    access.remember_projects(cleo)
    once = visible_projects(cleo)
    assert once.all == (chat,)
    with django_assert_num_queries(0):
        assert visible_projects(cleo) is once
    assert visible_projects(cleo, "finops.view_audit").all == ()


# Signing in


@pytest.fixture
def asha():
    user = person("asha", "analyst")
    user.set_password("correct horse battery staple")
    user.save()
    return user


def test_passwords_are_kept_by_argon2(settings):
    """The other tests take a quicker way."""
    settings.PASSWORD_HASHERS = product.PASSWORD_HASHERS
    kept = make_password("correct horse battery staple")
    assert kept.startswith("argon2$argon2id$")
    assert check_password("correct horse battery staple", kept)


@pytest.fixture
def door(plain_static):
    return Client()


def right(user):
    return {"username": user.username, "password": "correct horse battery staple"}


def test_tenth_failure_for_a_name_shuts_it_for_the_right_password_too(door, asha):
    for _ in range(10):
        assert door.post("/sign-in", WRONG).status_code == 422
    answer = door.post("/sign-in", right(asha))
    assert answer.status_code == 429
    assert "Too many failed sign-ins; wait an hour" in answer.content.decode()
    assert "_auth_user_id" not in door.session


def test_another_name_is_shut_after_twenty_failures_from_one_address(door, asha):
    for n in range(20):
        door.post("/sign-in", {"username": f"nobody-{n}", "password": "x"})
    assert door.post("/sign-in", right(asha)).status_code == 429
    elsewhere = door.post("/sign-in", right(asha), REMOTE_ADDR="192.0.2.9")
    assert elsewhere.status_code == 302


def test_admins_own_sign_in_counts_as_well(door, asha):
    for _ in range(10):
        door.post("/admin/login/", WRONG)
    assert door.post("/sign-in", right(asha)).status_code == 429


def test_good_sign_in_forgets_the_failures_of_the_name(door, asha):
    for _ in range(9):
        door.post("/sign-in", WRONG)
    assert door.post("/sign-in", right(asha)).status_code == 302
    door.logout()
    for _ in range(9):
        assert door.post("/sign-in", WRONG).status_code == 422


def test_forwarded_address_counts_only_behind_our_own_proxy(rf, settings):
    request = rf.get("/", headers={"X-Forwarded-For": "203.0.113.7, 198.51.100.2"})
    settings.SECURE_PROXY_SSL_HEADER = None
    assert access.client_address(request) == "127.0.0.1"
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert access.client_address(request) == "198.51.100.2"


def test_without_a_cache_the_door_stays_shut_with_a_sentence(door, asha, monkeypatch):
    def away(*_):
        raise CacheAway

    monkeypatch.setattr(cache, "get_many", away)
    answer = door.post("/sign-in", right(asha))
    assert (answer.status_code, "cache does not answer" in answer.content.decode()) == (429, True)


def test_strange_names_and_passwords_are_only_wrong(rf):
    backend = MembershipBackend()
    for text in ("\0", "\ud800", "x" * 10_000, "' OR 1=1 --", ""):
        assert backend.authenticate(rf.post("/"), username=text, password=text) is None
