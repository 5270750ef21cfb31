"""Usage by label: every request once, the largest values apart, and not too many labels."""

from datetime import timedelta

import pytest
from django.utils import timezone

from ingest import labels, store
from ingest.labels import BadLabel
from ingest.models import KeptLabel, LabelDay, LabelDayState, Project, UserDay, UserDayState
from ingest.rollup import roll_up, sum_users
from tests.factories.ingest import ProjectFactory, SourceFactory
from tests.ingest.make import NOON, span

pytestmark = pytest.mark.django_db

DAY = NOON.date()
EARLY = DAY - timedelta(days=30)


def keep(name, *attributes, project=None, since=EARLY):
    return labels.keep(project, name, attributes or [name], since, "asha")


def come(source, *records):
    store.spans(source, records)
    again()


def again():
    roll_up()
    UserDayState.objects.update(not_before=None)
    return sum_users(timezone.now())


def of(number, value=None, **changes):
    named = {} if value is None else {"customer": value}
    return span(number, attributes={"region": "eu", **named}, **changes)


def used(label="customer"):
    rows = LabelDay.objects.filter(label=label).order_by("value", "model")
    return [(row.value, row.model, row.spans, row.input_tokens) for row in rows]


def test_requests_are_summed_by_value_and_those_without_one_are_a_row_of_their_own(source):
    keep("customer")
    come(
        source, of(1, "acme"), of(2, "acme"), of(3, "beta", model="gpt-4o"), of(4), of(5, ""),
        span(6), of(7, 42),
    )  # fmt: skip
    assert used() == [
        ("", "gpt-4o-mini", 3, 300),
        ("42", "gpt-4o-mini", 1, 100),
        ("acme", "gpt-4o-mini", 2, 200),
        ("beta", "gpt-4o", 1, 100),
    ]
    state = LabelDayState.objects.get()
    assert (state.different, state.folded, state.attributes) == (3, 0, ["customer"])


def test_first_attribute_that_a_request_has_is_its_value(source):
    keep("customer", "customer.id", "langfuse.trace.metadata.customer")
    both = {"customer.id": "own", "langfuse.trace.metadata.customer": "trace"}
    come(
        source,
        span(1, attributes=both),
        span(2, attributes={"langfuse.trace.metadata.customer": "trace"}),
    )
    assert [value for value, *_ in used()] == ["own", "trace"]


def test_labels_split_the_same_requests_as_users_do_each_on_its_own(source):
    keep("customer")
    keep("region")
    leaf = {"span_id": "leaf", "parent_span_id": "root", "trace_id": "t"}
    root = {"kind": "agent", "span_id": "root", "trace_id": "t"}
    come(source, of(1, "acme", **root), of(2, "acme", **leaf), of(3), of(4, kind="tool"))
    tokens = sum(UserDay.objects.values_list("input_tokens", flat=True))
    assert tokens == 300  # what the leaf tells again is in its parent no more
    for label in ("customer", "region"):
        assert sum(row[3] for row in used(label)) == tokens


def test_values_beyond_the_most_are_one_row_and_none_is_dropped(source, monkeypatch):
    monkeypatch.setattr("ingest.rollup.users.MOST_VALUES", 2)
    keep("customer")
    come(
        source,
        of(1, "small", input_tokens=1), of(2, "large", input_tokens=900),
        of(3, "middle", input_tokens=500), of(4, "small too", input_tokens=2), of(5),
    )  # fmt: skip
    assert [(value, tokens) for value, _, _, tokens in used()] == [
        ("", 100), ("(other values)", 3), ("large", 900), ("middle", 500),
    ]  # fmt: skip
    assert LabelDayState.objects.values_list("different", "folded").get() == (4, 2)


def test_text_that_a_project_keeps_is_no_value_to_keep_for_good(source):
    keep("customer")
    sentence = "please tell me what the weather is"
    come(source, of(1, sentence), of(2, "two\nlines"), of(3, "acme gmbh & co kg"))
    assert [value for value, *_ in used()] == ["(other values)", "acme gmbh & co kg"]


def test_new_label_is_summed_over_the_requests_that_are_still_there_from_its_day_on(source):
    before = NOON - timedelta(days=2)
    come(source, of(1, "acme"), of(2, "acme", started_at=before))
    assert used() == []
    keep("customer", since=DAY)
    assert again() == 1
    assert list(LabelDay.objects.values_list("day", "value")) == [(DAY, "acme")]
    keep("region", since=EARLY)
    assert again() == 2
    assert set(LabelDay.objects.values_list("day", "label")) == {
        (DAY, "customer"), (DAY, "region"), (before.date(), "region"),
    }  # fmt: skip


def test_day_due_already_comes_before_the_days_of_a_new_label(source):
    come(source, of(1, "acme"))
    later = timezone.now() + timedelta(minutes=5)
    UserDayState.objects.update(not_before=later)
    keep("customer")
    assert UserDayState.objects.get().not_before == later


def test_own_label_of_a_project_stands_before_that_of_every_project(source):
    other = SourceFactory(project=ProjectFactory())
    keep("customer", "tenant")
    own = keep("customer", "customer", project=source.project)
    told = {"tenant": "t", "customer": "c"}
    come(source, span(1, attributes=told))
    come(other, span(2, attributes=told))
    assert set(LabelDay.objects.values_list("project_id", "value")) == {
        (source.project_id, "c"), (other.project_id, "t"),
    }  # fmt: skip
    labels.remove(own)
    again()
    assert set(LabelDay.objects.values_list("value", flat=True)) == {"t"}


def test_removed_label_takes_its_values_along(source):
    shared = keep("customer")
    keep("region")
    come(source, of(1, "acme"))
    labels.remove(shared)
    assert used() == []
    assert list(LabelDayState.objects.values_list("label", flat=True)) == ["region"]
    again()
    assert used() == []


def test_most_labels_of_a_project_count_those_of_every_project(chat):
    for name in ("a1", "a2", "a3"):
        keep(name)
    keep("b1", project=chat)
    keep("b2", project=chat)
    keep("a1", project=chat)  # in place of the shared one
    for project in (chat, None):
        with pytest.raises(BadLabel, match="at most 5 labels"):
            keep("c1", project=project)
    keep("c1", project=ProjectFactory())
    assert KeptLabel.objects.count() == 7


@pytest.mark.parametrize(
    ("name", "attributes", "field"),
    [
        ("Customer", ["customer"], "name"),
        ("a b", ["customer"], "name"),
        ("", ["customer"], "name"),
        ("x" * 41, ["customer"], "name"),
        ("customer", [], "attributes"),
        ("customer", ["two\nlines"], "attributes"),
        ("customer", ["x" * 201], "attributes"),
        ("customer", list("abcdef"), "attributes"),
    ],
)
def test_bad_label_is_refused_with_its_field(db, name, attributes, field):
    with pytest.raises(BadLabel) as refused:
        labels.keep(None, name, attributes, DAY, "asha")
    assert refused.value.field == field
    assert not KeptLabel.objects.exists()


def test_label_of_one_name_is_kept_once(chat):
    keep("customer")
    with pytest.raises(BadLabel, match="already"):
        keep("customer")


@pytest.fixture
def chat(db):
    return Project.objects.get(pk=ProjectFactory().pk)
