"""Saved views: kept under a name, shared without showing anybody more than they may see."""

import json

import pytest
from django.test import Client

from finops.actions import saved_views as actions
from finops.actions.saved_views import Refused, ViewDraft
from finops.models import Audit, SavedView, User
from finops.queries.saved_views import saved_views
from tests.factories.finops import access_token
from tests.finops.reading import Page

pytestmark = pytest.mark.usefixtures("estate", "plain_static", "db")

QUERY = "range=7d&group_by=model&basis=book&currency=USD"


def user(name: str) -> User:
    return User.objects.get(username=name)


def keep(who: str = "asha", **changes) -> SavedView:
    usual = {"page": "costs", "name": "Models", "query": QUERY}
    return actions.add(ViewDraft(**usual | changes), by=user(who), via="page")


def names(who: str, page: str = "") -> list[str]:
    return [row.view.name for row in saved_views(user(who), page)]


def test_view_is_saved_from_its_page_opened_renamed_and_removed(sign_in):
    asha = sign_in("asha")
    page = Page(asha.get(f"/costs?{QUERY}&sort=-share").text)
    [href] = [one for one in page.hrefs if one.startswith("/views/new?")]
    form = Page(asha.get(href).text)
    assert "Costs: Last 7 days, by model." in form.words
    body = {"page": "costs", "query": f"{QUERY}&sort=-share", "name": "Models"}

    saved = asha.post("/views/new", body)

    view = SavedView.objects.get()
    assert saved["Location"] == f"/costs?{view.query}"
    assert view.query == f"{QUERY}&sort=-share"
    shown = Page(asha.get(saved["Location"]).text)
    assert saved["Location"] in shown.hrefs
    assert "This name is free" not in shown.words
    again = asha.post("/views/new", body)
    assert again.status_code == 422
    assert "There is a view “Models” of yours already" in Page(again.text).words
    asha.post(f"/views/{view.pk}", {**body, "name": "By model", "is_default": "on"})
    table = Page(asha.get("/views").text).tables["saved-views"]
    assert table[1][:5] == [
        "By model", "Costs", "Last 7 days, by model", "you alone", "yes",
    ]  # fmt: skip
    asha.post(f"/views/{view.pk}/remove")
    assert "No view yet" in Page(asha.get("/views").text).words
    assert not Audit.objects.filter(action__startswith="saved_view").exists()


def test_page_opens_with_the_default_where_nothing_else_is_asked(sign_in):
    asha = sign_in("asha")
    keep(is_default=True)
    second = keep(name="Week", query="range=7d&group_by=team", is_default=True)

    assert asha.get("/costs")["Location"] == f"/costs?{second.query}"
    assert asha.get("/costs?range=30d").status_code == 200
    assert asha.get("/requests").status_code == 200
    assert sign_in("ben").get("/costs").status_code == 200
    assert [one.name for one in SavedView.objects.filter(is_default=True)] == ["Week"]
    assert "/costs" in Page(sign_in("asha").get("/").text).hrefs


def test_shared_view_shows_others_their_own_projects_and_is_audited(sign_in):
    shared = keep(is_shared=True, name="Everybody's", query=f"{QUERY}&known_on=2026-01-05")
    keep(is_shared=True, name="Search alone", query="range=7d&f.project=product-search")
    keep(is_shared=True, name="Chat alone", query="range=7d&f.project=support-chat")
    keep(is_shared=True, name="One customer", query="range=7d", page="requests")
    SavedView.objects.filter(name="One customer").update(query="range=7d&f.label:customer=acme")
    keep(name="Mine")

    assert names("ben") == ["Chat alone", "Everybody's", "One customer", "Search alone"]
    assert names("cleo") == ["Chat alone", "Everybody's"]
    cleo = sign_in("cleo")
    words = Page(cleo.get("/views").text).words
    assert "Search alone" not in words
    assert "One customer" not in words
    # Bills are not hers to ask for: the view opens with what she may see, without an error.
    href = "/costs?range=7d&group_by=model&currency=USD"
    assert href in Page(cleo.get("/costs?range=7d").text).hrefs
    page = Page(cleo.get(href).text)
    assert "Bills are for members" not in page.words
    assert cleo.get(f"/views/{shared.pk}").status_code == 403
    assert cleo.post(f"/views/{shared.pk}/remove").status_code == 403
    hidden = SavedView.objects.get(name="Search alone")
    assert cleo.post(f"/views/{hidden.pk}/remove").status_code == 404
    acts = Audit.objects.filter(action__startswith="saved_view").order_by("id")
    assert [one.action for one in acts] == ["saved_view.share"] * 4

    # Who manages people clears up behind who left.
    assert sign_in("ada").post(f"/views/{shared.pk}/remove").status_code == 302
    assert Audit.objects.latest("id").action == "saved_view.remove"


def test_each_change_of_what_is_shared_is_audited():
    asha = user("asha")
    view = keep()
    draft = actions.draft_of(view)

    def changed(**changes) -> str:
        nonlocal draft
        draft = ViewDraft(**{**vars_of(draft), **changes})
        actions.change(view, draft, by=asha, via="page")
        found = Audit.objects.filter(action__startswith="saved_view").order_by("-id").first()
        return found.action if found else ""

    assert changed(name="Other") == ""
    assert changed(is_shared=True) == "saved_view.share"
    assert changed(name="Third") == "saved_view.change"
    assert changed(is_default=True) == "saved_view.change"
    assert Audit.objects.filter(action="saved_view.change").count() == 1
    assert changed(is_shared=False) == "saved_view.unshare"
    with pytest.raises(Refused, match="Only whoever saved a view changes it"):
        actions.change(view, draft, by=user("ben"), via="page")


def vars_of(draft: ViewDraft) -> dict:
    return {name: getattr(draft, name) for name in ViewDraft.__dataclass_fields__}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": " "}, "name"),
        ({"page": "sources"}, "page"),
        ({"query": "range=7d&next=//evil.example"}, "query"),
        ({"query": "range=century"}, "query"),
        ({"query": "f.project=nobody-knows"}, "query"),
        ({"query": "f.model=a%00b"}, "query"),
        ({"query": "tab=errors"}, "query"),
        ({"query": "range=7d&" + "f.model=x&" * 300}, "query"),
    ],
)
def test_view_that_the_page_would_not_understand_is_refused(changes, field):
    with pytest.raises(Refused) as refused:
        keep(**changes)
    assert refused.value.field == field


def test_where_one_was_in_a_list_is_no_part_of_a_view():
    view = keep(page="requests", query="range=7d&tab=errors&cursor=abc")
    assert view.query == "range=7d&tab=errors"


def test_nobody_keeps_views_without_end(monkeypatch):
    monkeypatch.setattr(actions, "MOST", 1)
    keep()
    with pytest.raises(Refused, match="There are 1 views of yours already"):
        keep(name="One more")
    keep("ben")


def test_scripts_do_what_the_pages_do():
    def call(who, method, path, body=None, scope="write"):
        token = access_token(user(who), scope)
        return Client().generic(
            method, f"/api/v1/{path}", json.dumps(body) if body is not None else "",
            "application/json", headers={"Authorization": f"Bearer {token}"},
        )  # fmt: skip

    body = {"page": "costs", "name": "Models", "query": QUERY, "is_shared": True}
    made = call("asha", "POST", "saved-views", body)
    assert made.status_code == 201
    path = f"saved-views/{made.json()['id']}"
    assert {name: made.json()[name] for name in body} == body
    assert call("asha", "POST", "saved-views", body, "read").status_code == 403
    [seen] = call("cleo", "GET", "saved-views?page=costs").json()["data"]
    assert (seen["owner"], seen["is_mine"]) == ("asha", False)
    assert seen["query"] == "range=7d&group_by=model&currency=USD"
    assert call("cleo", "GET", "saved-views?page=requests").json()["data"] == []
    assert call("cleo", "PATCH", path, {"name": "x"}).status_code == 403
    wrong = call("asha", "PATCH", path, {"query": "range=century"})
    assert wrong.status_code == 400
    assert [one["field"] for one in wrong.json()["errors"]] == ["query"]
    assert call("asha", "PATCH", path, {"name": "Own", "is_shared": False}).json()["name"] == "Own"
    assert call("cleo", "GET", path).status_code == 404
    assert call("asha", "DELETE", path).status_code == 204
    assert not SavedView.objects.exists()
