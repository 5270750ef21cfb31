"""Choosing labels on the page and by the API: who may, what is audited, what is shown of whom."""

import csv
import io
import json
from datetime import date, timedelta

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from finops.actions import labels as actions
from finops.actions.pricing import price_hours
from finops.actions.user_costs import price_user_days
from finops.models import Audit, User
from finops.queries.filters import today
from ingest import labels, store
from ingest.models import KeptLabel, UserDayState
from ingest.rollup import roll_up, sum_users
from tests.factories.finops import person
from tests.factories.ingest import ProjectFactory, SourceFactory
from tests.finops.actions.conftest import book, few, few_models
from tests.finops.reading import Page
from tests.ingest.make import span

__all__ = ["book", "few", "few_models"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("plain_static")]

PAGE = "/settings/labels"
SUMS = [
    model
    for model in apps.get_models()
    if {"label", "value"} <= {field.name for field in model._meta.get_fields()}
]
"""Whatever is kept by the values of a label."""


@pytest.fixture
def chat(book):
    return ProjectFactory(slug="chat", name="Chat")


@pytest.fixture
def search(book):
    return ProjectFactory(slug="search", name="Search")


def sign_in(user):
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def asha(chat):
    return sign_in(person("asha", "analyst"))


@pytest.fixture
def cleo(chat):
    return sign_in(person("cleo", "viewer", project=chat))


def come(project, *values, key="customer"):
    source = SourceFactory(project=project)
    at = timezone.now() - timedelta(hours=1)
    said = [
        span(n, started_at=at, attributes={key: value, "region": "eu"})
        for n, value in enumerate(values, 1)
    ]
    store.spans(source, said)


def settle():
    roll_up()
    price_hours()
    UserDayState.objects.update(not_before=None)
    sum_users(timezone.now())
    price_user_days()


def form(**more):
    usual = {"name": "customer", "attributes": "customer, tenant.id", "project": "",
             "since": str(today() - timedelta(days=7))}  # fmt: skip
    return {**usual, **more}


def test_empty_page_shows_the_keys_of_the_newest_requests(asha, chat):
    come(chat, "acme", "acme", "zoe@example.com", *(f"id-{n}" for n in range(200)))
    page = Page(asha.get(PAGE).text)
    assert "No label is kept yet" in page.words
    assert page.refused == []
    rows = {row[0]: row[1:] for row in page.tables["keys"][1:]}
    assert rows["region"] == ["203", "1", "eu", ""]
    assert rows["customer"][:2] == ["203", "202"]
    file = list(csv.reader(io.StringIO(asha.get(f"{PAGE}.csv?table=keys&of=chat").text)))
    told = asha.get("/api/v1/labels/keys?project=chat").json()["data"]
    assert [row[0] for row in file[1:]] == [one["key"] for one in told] == ["customer", "region"]
    assert rows["customer"][3].startswith("Many values: a day keeps 1,000 apart")
    chosen = asha.get(f"{PAGE}?key=langfuse.trace.metadata.tenant&of=chat").text
    assert 'name="name" value="tenant"' in chosen


def test_key_that_names_people_is_marked(asha, chat):
    come(chat, "zoe@example.com")
    rows = {row[0]: row for row in Page(asha.get(PAGE).text).tables["keys"][1:]}
    assert rows["customer"][4] == "Looks like an address of a person."


def test_label_is_kept_audited_summed_and_told_alike_by_page_csv_and_api(asha, chat):
    come(chat, "acme", "beta")
    settle()
    assert asha.post(PAGE, form()).status_code == 302
    record = Audit.objects.get(action="label.keep")
    assert record.detail == {
        "name": "customer", "project": "every project", "attributes": ["customer", "tenant.id"],
        "since": str(today() - timedelta(days=7)),
    }  # fmt: skip
    assert "1 day to be summed yet" in Page(asha.get(PAGE).text).words
    settle()
    shown = Page(asha.get(PAGE).text).tables["labels"]
    assert shown[1][:3] == ["customer", "every project", "customer, tenant.id"]
    assert shown[1][5:] == ["Up to date", "1", "2", "0", "asha"]
    rows = list(csv.reader(io.StringIO(asha.get(f"{PAGE}.csv").text)))
    assert [row[0] for row in rows[1:]] == ["customer"]
    assert asha.get(f"{PAGE}.xlsx").status_code == 200
    [told] = asha.get("/api/v1/labels").json()["data"]
    assert (told["summed_days"], told["waiting_days"], told["most_values"]) == (1, 0, 2)
    assert asha.get(f"/api/v1/labels/{told['id']}").json() == told


def test_wrong_label_is_refused_on_its_field_and_nothing_is_kept(asha):
    answer = asha.post(PAGE, form(name="Big Customer"))
    assert answer.status_code == 422
    assert "small letters" in Page(answer.text).words
    sent = json.dumps({"name": "x", "attributes": [], "since": "2026-01-01"})
    told = asha.post("/api/v1/labels", sent, content_type="application/json")
    assert (told.status_code, told.json()["errors"][0]["field"]) == (400, "attributes")
    assert not KeptLabel.objects.exists()
    assert not Audit.objects.filter(action="label.keep").exists()


def test_removed_label_takes_its_values_and_costs_along(asha, chat):
    actions.keep(None, "customer", ["customer"], date(2026, 1, 1), by=_user(asha), via="page")
    come(chat, "acme")
    settle()
    assert all(sums.objects.exists() for sums in SUMS)
    label = KeptLabel.objects.get()
    assert asha.post(f"{PAGE}/{label.pk}/remove").status_code == 302
    assert not any(sums.objects.exists() for sums in SUMS)
    assert Audit.objects.filter(action="label.remove").count() == 1
    settle()
    assert not any(sums.objects.exists() for sums in SUMS)
    assert asha.delete(f"/api/v1/labels/{label.pk}").status_code == 404


def _user(client):
    return User.objects.get(pk=client.session["_auth_user_id"])


def test_reader_of_one_project_sees_its_labels_and_their_days_alone(cleo, chat, search):
    labels.keep(search, "secret", ["secret"], today(), "asha")
    labels.keep(None, "customer", ["customer"], today() - timedelta(days=7), "asha")
    come(chat, "acme")
    come(search, "zoe", "yan")
    settle()
    page = cleo.get(PAGE)
    assert "secret" not in page.text
    assert Page(page.text).tables["labels"][1][6:8] == ["1", "1"]
    assert "keys" not in Page(page.text).tables
    assert cleo.get(f"{PAGE}.csv?table=keys").status_code == 403
    assert [one["name"] for one in cleo.get("/api/v1/labels").json()["data"]] == ["customer"]
    hidden = KeptLabel.objects.get(name="secret").pk
    assert cleo.get(f"/api/v1/labels/{hidden}").status_code == 404


def test_viewers_choose_none_and_an_analyst_of_a_project_only_its_own(cleo, chat, search):
    shared = labels.keep(None, "region", ["region"], today(), "asha")
    assert cleo.post(PAGE, form()).status_code == 403
    assert cleo.post(f"{PAGE}/{shared.pk}/remove").status_code == 403
    own = sign_in(person("olga", "analyst", project=chat))
    assert own.post(PAGE, form()).status_code == 422
    assert own.post(f"{PAGE}/{shared.pk}/remove").status_code == 403
    sent = {"name": "customer", "attributes": ["customer"], "since": "2026-01-01"}
    for project, status in ((None, 403), ("search", 400), ("chat", 201)):
        body = json.dumps({**sent, "project": project})
        answer = own.post("/api/v1/labels", body, content_type="application/json")
        assert answer.status_code == status, project
    assert KeptLabel.objects.get(name="customer").project == chat


def test_page_asks_as_often_for_three_labels_as_for_one(asha, chat):
    def queries():
        with CaptureQueriesContext(connection) as seen:
            assert asha.get(PAGE).status_code == 200
        return len(seen)

    labels.keep(None, "a", ["a"], today(), "asha")
    before = queries()
    for name in ("b", "c"):
        labels.keep(chat, name, [name], today(), "asha")
    assert queries() == before
