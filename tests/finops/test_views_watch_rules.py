"""The pages of watch rules: list, form, removal; beside the rules of alerts."""

import csv
import io

import pytest

from finops.models import Audit, WatchRule
from tests.finops.reading import Page

pytestmark = pytest.mark.usefixtures("estate", "plain_static")

PAGE = "/alerts/watch"
FORM = {
    "name": "Chat fails", "metric": "error_rate", "comparison": "above", "threshold": "2.5",
    "window_minutes": "30", "needed": "2", "of_last": "4", "least_requests": "10",
    "project": "support-chat", "urgency": "high", "action": "Look at the errors.",
    "path": "/requests/errors", "is_on": "on",
}  # fmt: skip


@pytest.fixture
def asha(sign_in):
    return sign_in("asha")


def words_of(answer) -> str:
    return Page(answer.text).words


def test_list_shows_the_usual_rules_to_members_of_the_organisation(asha, sign_in):
    page = words_of(asha.get(PAGE))
    for text in ("Waits for a target", "below 60%", "above 200 ms", "above 1%", "below 85%"):
        assert text in page
    assert "Add a rule" in page
    rows = list(csv.reader(io.StringIO(asha.get("/alerts/watch.csv").text)))
    assert [row[0] for row in rows[1:]] == [
        "A request costs more than its target", "Answers are slow", "Cached input is rare",
        "GPUs are idle", "Requests fail",
    ]  # fmt: skip
    assert "No rule that you may see." in words_of(sign_in("cleo").get(PAGE))
    assert "Add a rule" not in words_of(sign_in("ben").get(PAGE))
    assert "Watch rules" in words_of(asha.get("/alerts"))


def test_rule_goes_through_the_form_and_back(asha, sign_in):
    assert asha.post(f"{PAGE}/new", FORM)["Location"] == PAGE
    rule = WatchRule.objects.get(name="Chat fails")
    assert (rule.threshold, rule.of_last, rule.project.slug) == (2.5, 4, "support-chat")
    shown = asha.get(f"{PAGE}/{rule.pk}/edit").text
    assert 'value="2.5"' in shown
    changed = {**FORM, "threshold": "3", "revision": "1"}
    assert asha.post(f"{PAGE}/{rule.pk}/edit", changed).status_code == 302
    stale = asha.post(f"{PAGE}/{rule.pk}/edit", {**changed, "threshold": "4"})
    assert (stale.status_code, "Somebody has changed it" in words_of(stale)) == (422, True)
    # Who sees the project may read its rule, and change nothing.
    cleo = sign_in("cleo")
    assert "above 3%" in words_of(cleo.get(PAGE))
    assert cleo.get(f"{PAGE}/{rule.pk}/edit").status_code == 403
    assert asha.post(f"{PAGE}/{rule.pk}/remove").status_code == 302
    assert "Chat fails" not in asha.get("/alerts/watch.csv").text
    assert list(Audit.objects.order_by("-id").values_list("action", flat=True)[:3]) == [
        "watch_rule.remove", "watch_rule.change", "watch_rule.add",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"threshold": ""}, "Give a threshold, or switch the rule off"),
        ({"needed": "5"}, "at most as many as are looked at"),
        ({"name": "Requests fail"}, "There is a rule “Requests fail” already"),
        ({"metric": "cost_per_request"}, "Give the currency of a cost per request"),
        ({"path": "https://elsewhere"}, "Use a page of Breakeven"),
    ],
)
def test_form_names_what_is_wrong(asha, changes, said):
    answer = asha.post(f"{PAGE}/new", {**FORM, **changes})
    assert answer.status_code == 422
    assert said in words_of(answer)
