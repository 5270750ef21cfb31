from datetime import UTC, date, datetime, timedelta

import pytest
from django.http import QueryDict

from finops.queries import filters
from finops.queries.filters import Filters, preset_days

TODAY = date(2026, 3, 15)


@pytest.fixture(autouse=True)
def on_a_known_day(monkeypatch):
    monkeypatch.setattr(filters, "today", lambda: TODAY)


def wrong(query, user):
    return [(error.field, error.message) for error in Filters.parse(QueryDict(query), user)[1]]


@pytest.mark.parametrize(
    ("preset", "start", "end"),
    [
        ("today", date(2026, 3, 15), date(2026, 3, 16)),
        ("7d", date(2026, 3, 9), date(2026, 3, 16)),
        ("mtd", date(2026, 3, 1), date(2026, 3, 16)),
        ("last-month", date(2026, 2, 1), date(2026, 3, 1)),
    ],
)
def test_preset_is_a_half_open_range_with_today_in_it(preset, start, end):
    assert preset_days(preset, TODAY) == (start, end)


def test_nothing_given_is_the_last_thirty_days_of_the_book(ask):
    found = ask("")
    assert (found.start, found.end, found.preset) == (date(2026, 2, 14), date(2026, 3, 16), "30d")
    assert (found.basis, found.currency, found.compare, found.group_by) == (
        "book",
        "USD",
        False,
        (),
    )


@pytest.mark.parametrize(
    "query",
    [
        "range=7d&basis=book&currency=USD",
        "from=2026-01-01&to=2026-02-01&group_by=project%2Cmodel&f.project=chat&f.model=a&f.model=b"
        "&basis=usage&metric=billed&currency=EUR&known_on=2026-02-03&compare=previous",
        "range=mtd&f.team=Support&f.provider=openai&f.service=%26%3D%C3%A9&basis=bill&currency=USD",
        "range=7d&f.model=&basis=book&currency=USD",
    ],
)
def test_link_parses_to_the_same_filters(ask, chat, query):
    found = ask(query)
    assert found.to_query() == query
    assert ask(found.to_query()) == found


def test_groups_may_be_repeated_or_joined_by_a_comma(ask):
    assert ask("group_by=project&group_by=model") == ask("group_by=project,model")


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ("from=2026-13-01&to=2026-02-01", "from", "such as 2026-01-31"),
        ("from=20260101&to=2026-02-01", "from", "such as 2026-01-31"),
        ("from=٢٠٢٦-٠١-٠١&to=2026-02-01", "from", "such as 2026-01-31"),
        ("from=0001-01-01&to=2026-02-01", "from", "from the year 2000"),
        ("from=2026-02-01&to=2026-02-01", "to", "later than from"),
        ("from=2020-01-01&to=2026-02-01", "from", "at most 1100 days"),
        ("to=2026-02-01", "from", "as well as to"),
        ("range=7d&from=2026-01-01", "range", "either range, or from and to"),
        ("range=1y", "range", "today, 7d, 14d, 30d, 60d, 90d, mtd, last-month"),
        ("group_by=colour", "group_by", "project, team, provider, model"),
        ("group_by=project,team,model", "group_by", "at most two"),
        ("basis=truth", "basis", "book, usage, bill"),
        ("metric=net", "metric", "effective, billed, list, contracted"),
        ("currency=US%00D", "currency", "plain text"),
        ("currency=%27;--", "currency", "currency code such as USD"),
        ("compare=yes", "compare", "previous, none"),
        ("f.proect=chat", "f.proect", "f.project, f.team"),
        ("f.project=nope", "f.project", "no project “nope” that you may see"),
        ("f.team=nope", "f.team", "no team “nope” that you may see"),
        ("f.model=" + "x" * 301, "f.model", "at most 300"),
        ("&".join(f"f.model={n}" for n in range(51)), "f.model", "at most 50"),
    ],
)
def test_bad_value_names_the_field_and_the_fix(asha, query, field, words):
    [(name, message)] = wrong(query, asha)
    assert name == field
    assert words in message


def test_every_error_is_told_at_once(asha):
    assert [field for field, _ in wrong("range=1y&basis=x&currency=%27", asha)] == [
        "range",
        "basis",
        "currency",
    ]


def test_viewer_of_one_project_gets_its_usage_and_nothing_else(ask, cleo, chat, search):
    found = ask("", cleo)
    assert (found.basis, found.project_ids, found.bills) == ("usage", (chat.pk,), False)
    # As one that does not exist is answered.
    assert wrong("f.project=search", cleo) == [
        ("f.project", "There is no project “search” that you may see.")
    ]
    assert wrong("basis=bill", cleo) == [
        ("basis", "Bills are for members of the organisation; use basis=usage.")
    ]


def test_hidden_project_does_not_widen_the_window(cleo, search):
    found, _ = Filters.parse(QueryDict("f.project=search"), cleo)
    assert found.project_ids == ()


@pytest.mark.parametrize(
    ("query", "start", "end"),
    [
        ("range=mtd", date(2026, 2, 1), date(2026, 2, 16)),
        ("range=last-month", date(2026, 1, 1), date(2026, 2, 1)),
        ("range=7d", date(2026, 3, 2), date(2026, 3, 9)),
        ("from=2026-01-10&to=2026-01-13", date(2026, 1, 7), date(2026, 1, 10)),
    ],
)
def test_previous_period_ends_where_this_one_begins_or_is_the_month_before(ask, query, start, end):
    before = ask(query).previous()
    assert (before.start, before.end) == (start, end)


def test_month_to_date_of_a_long_month_stays_in_the_month_before(ask, monkeypatch):
    monkeypatch.setattr(filters, "today", lambda: date(2026, 3, 31))
    before = ask("range=mtd").previous()
    assert (before.start, before.end) == (date(2026, 2, 1), date(2026, 3, 1))


def test_drilling_narrows_to_the_row_and_goes_on_with_the_other_group(ask, chat):
    found = ask("group_by=project,model&f.provider=openai").drill("project", "chat")
    assert (found.projects, found.providers, found.group_by) == (("chat",), ("openai",), ("model",))


def test_day_begins_at_midnight_of_the_accounting_zone(ask, settings):
    settings.ACCOUNTING_TIME_ZONE = "Asia/Kathmandu"
    found = ask("from=2026-01-01&to=2026-01-02")
    assert found.start_at.astimezone(UTC) == datetime(2025, 12, 31, 18, 15, tzinfo=UTC)
    assert found.end_at - found.start_at == timedelta(days=1)
