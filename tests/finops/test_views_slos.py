"""The pages of objectives: list, form, one objective, and proposals decided by a second person."""

import csv
import io
from dataclasses import replace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from finops.actions import slos as actions
from finops.models import Audit, Slo, SloProposal, User
from finops.queries import slos as queries
from ingest.models import Project
from tests.finops.actions.test_slos import UP
from tests.finops.reading import Page

pytestmark = pytest.mark.usefixtures("estate", "plain_static")

FORM = {
    "project": "support-chat", "name": "Swift answers", "indicator": "latency",
    "threshold": "2000", "objective": "95", "window_days": "28", "why": "Customers wait.",
}  # fmt: skip


@pytest.fixture
def dev(sign_in):
    return sign_in("dev")


@pytest.fixture
def ben(sign_in):
    return sign_in("ben")


def proposed(client, **changes) -> SloProposal:
    answer = client.post("/slos/new", {**FORM, **changes})
    assert answer.status_code == 302, Page(answer.text).words
    return SloProposal.objects.get(pk=int(answer["Location"].rpartition("/")[2]))


def decided(client, proposal, decision="approve", comment=""):
    proposal.refresh_from_db()
    given = {"decision": decision, "comment": comment, "plan_hash": proposal.plan_hash}
    return client.post(f"/slos/proposals/{proposal.pk}/decide", given)


def made(dev, ben, **changes) -> Slo:
    proposal = proposed(dev, **changes)
    assert decided(ben, proposal).status_code == 302
    return Slo.objects.latest("pk")


def words_of(answer) -> str:
    return Page(answer.text).words


def csv_of(client, path):
    return list(csv.reader(io.StringIO(client.get(path).text)))


def test_empty_list_says_how_to_begin(dev, ben):
    assert "No objective yet" in words_of(dev.get("/slos"))
    assert "Ask an engineer or an analyst" in words_of(ben.get("/slos"))


def test_objective_goes_from_form_to_force_by_two_people(dev, ben):
    proposal = proposed(dev)
    page = words_of(dev.get(f"/slos/proposals/{proposal.pk}"))
    assert "You proposed this, so somebody else decides on it." in page
    assert "Customers wait." in page
    assert decided(dev, proposal).status_code == 403
    assert Audit.objects.latest("id").action == "slo_proposal.approve_refused"
    assert decided(ben, proposal, "reject").status_code == 422
    assert decided(ben, proposal).status_code == 302
    [row] = queries.slos(User.objects.get(username="cleo"))
    assert (row.definition.threshold, row.definition.least_events, row.version) == (2000, 20, 1)
    assert decided(ben, proposal).status_code == 409
    listed = words_of(dev.get("/slos"))
    assert "Answered within 2.00 s" in listed
    assert (Audit.objects.latest("id").action, Audit.objects.latest("id").via) == (
        "slo_proposal.approve", "page",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": ""}, "This field is required."),
        ({"threshold": ""}, "Give it for every indicator but availability."),
        ({"threshold": "NaN"}, "Enter a number."),
        ({"objective": "100"}, "Use a percentage from 1 to 99.999."),
        ({"indicator": "quality", "threshold": "1"}, "Name the score of a quality objective"),
        ({"indicator": "quality", "score": "s", "models": "m"}, "Scores name no service"),
        ({"project": "nobodys"}, "is not one of the available choices"),
    ],
)
def test_form_names_what_is_wrong(dev, changes, said):
    answer = dev.post("/slos/new", {**FORM, **changes})
    assert answer.status_code == 422
    assert said in words_of(answer)
    assert not SloProposal.objects.exists()


def test_page_shows_figures_course_burn_and_versions(dev, ben):
    slo = made(dev, ben, indicator="availability", threshold="", objective="90")
    told = queries.figures(slo, timezone.now())
    page = words_of(dev.get(f"/slos/{slo.pk}"))
    assert f"{told.actual:.3f}%" in page
    for text in ("Error budget left", "How fast the budget burns", "3 days", "Versions", "Dev"):
        assert text in page
    rows = csv_of(dev, f"/slos/{slo.pk}.csv?step=day")
    assert sum(int(row[3]) for row in rows[1:]) == told.whole.total > 0
    assert len(csv_of(dev, f"/slos/{slo.pk}.csv?step=hour")) == 169
    assert len(csv_of(dev, f"/slos/{slo.pk}.csv?step=quarter")) == 97
    assert dev.get(f"/slos/{slo.pk}?step=hour").status_code == 200
    assert csv_of(dev, f"/slos/{slo.pk}.csv?what=versions")[1][0] == "1"
    [head, row] = csv_of(dev, "/slos.csv")
    found = dict(zip(head, row, strict=True))
    assert (found["Objective"], int(found["Events"])) == ("Swift answers", told.whole.total)
    assert found["Good"] == f"{told.whole.share:.6f}"


def test_change_edit_and_end_are_proposed_and_what_moved_is_refused(dev, ben, sign_in):
    slo = made(dev, ben)
    change = {**FORM, "threshold": "1500", "read": "1"}
    answer = dev.post(f"/slos/{slo.pk}/edit", change)
    proposal = SloProposal.objects.latest("pk")
    assert answer["Location"] == f"/slos/proposals/{proposal.pk}"
    stale = proposal.plan_hash
    assert "2000" in words_of(ben.get(f"/slos/proposals/{proposal.pk}"))
    asha = sign_in("asha")
    edited = {**FORM, "threshold": "1600", "read": stale}
    assert asha.post(f"/slos/proposals/{proposal.pk}/edit", edited).status_code == 302
    assert asha.post(f"/slos/proposals/{proposal.pk}/edit", edited).status_code == 409
    late = {"decision": "approve", "plan_hash": stale}
    answer = ben.post(f"/slos/proposals/{proposal.pk}/decide", late)
    assert (answer.status_code, "was edited since you read it" in words_of(answer)) == (409, True)
    assert decided(ben, proposal).status_code == 302
    slo.refresh_from_db()
    assert (slo.definition.threshold, slo.current.number) == (1600, 2)
    old = dev.post(f"/slos/{slo.pk}/edit", {**FORM, "threshold": "7", "read": "1"})
    assert old.status_code == 409
    dev.post(f"/slos/{slo.pk}/retire", {"read": "2", "why": "No longer run."})
    assert decided(ben, SloProposal.objects.latest("pk")).status_code == 302
    assert "It is retired" in words_of(dev.get(f"/slos/{slo.pk}"))
    assert "No objective like this" in words_of(dev.get("/slos"))
    assert "Swift answers" in words_of(dev.get("/slos?state=retired"))


def test_withdrawn_proposal_waits_for_nobody(dev, ben):
    proposal = proposed(dev)
    assert "Swift answers" in words_of(ben.get("/changes"))
    given = {"plan_hash": proposal.plan_hash, "why": "Not yet."}
    assert dev.post(f"/slos/proposals/{proposal.pk}/withdraw", given).status_code == 302
    assert "Swift answers" not in words_of(ben.get("/changes"))
    assert "There are none like this." in words_of(dev.get("/slos/proposals"))
    [_, row] = csv_of(dev, "/slos/proposals.csv?state=all")
    assert row[3] == "withdrawn"


def test_others_projects_stay_hidden(dev, ben, sign_in):
    slo = made(dev, ben, project="product-search", name="Hidden one")
    proposal = SloProposal.objects.get()
    cleo = sign_in("cleo")
    assert "Hidden one" not in cleo.get("/slos").text
    for path in (f"/slos/{slo.pk}", f"/slos/{slo.pk}.csv", f"/slos/proposals/{proposal.pk}"):
        assert cleo.get(path).status_code == 404
    assert cleo.get("/slos/new").status_code == 403
    assert ben.get(f"/slos/{slo.pk}/edit").status_code == 403
    assert cleo.post(f"/slos/{slo.pk}/retire", {"read": "1"}).status_code == 403


def test_list_costs_the_same_queries_with_one_and_with_three(dev):
    people = {name: User.objects.get(username=name) for name in ("dev", "ben")}
    chat = Project.objects.get(slug="support-chat")

    def add(name):
        proposal = actions.propose(chat, replace(UP, name=name), by=people["dev"], via="page")
        actions.approve(proposal, by=people["ben"], via="page", plan_hash=proposal.plan_hash)

    def counted():
        with CaptureQueriesContext(connection) as seen:
            assert dev.get("/slos").status_code == 200
        return len(seen)

    add("One")
    one = counted()
    add("Two")
    add("Three")
    assert counted() == one
