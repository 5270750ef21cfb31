"""Sessions of a day as sets: as many as counting them one by one finds."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from finops.queries.book import Split
from finops.queries.unit_costs import answers
from finops.queries.unit_costs.asked import Asked
from ingest import store
from ingest.models import ConversationDay, UserDayState
from ingest.rollup import conversations, roll_up, sum_users
from tests.factories.ingest import SourceFactory
from tests.ingest.make import NOON, span

pytestmark = pytest.mark.django_db

DAY = NOON.date()
SPLITS = [Split(), Split(("model",)), Split(("project", "model"), by_time=True)]


@pytest.fixture
def filters(ask):
    return lambda more="": ask(f"from={DAY}&to={DAY + timedelta(days=1)}{more}")


@pytest.fixture
def talked(chat, search):
    for project, count in ((chat, 9), (search, 4)):
        source = SourceFactory(project=project)
        store.spans(
            source,
            [
                span(
                    n + 1,
                    session_id=f"s{n % count}" if n % 5 else "",
                    model=f"m{n % 3}",
                    kind="tool" if n % 11 == 10 else "llm",
                    started_at=NOON + timedelta(minutes=n),
                )
                for n in range(30)
            ],
        )
        roll_up()


def summed():
    UserDayState.objects.update(not_before=None, summed=0)
    assert sum_users(timezone.now()) == 2


@pytest.mark.parametrize(
    ("more", "sessions"), [("", 13), ("&f.model=m1&f.model=m2", 10), ("&f.project=chat", 9)]
)
def test_sets_count_what_single_requests_say(talked, filters, monkeypatch, more, sessions):
    one_by_one = answers.counts(filters(more), Asked(), SPLITS)
    assert not ConversationDay.objects.exists()
    summed()
    monkeypatch.setattr(answers, "SPANS", "not read")

    assert [sorted(rows, key=repr) for rows in answers.counts(filters(more), Asked(), SPLITS)] == [
        sorted(rows, key=repr) for rows in one_by_one
    ]
    assert one_by_one[0][0].values[0].conversations == sessions


def test_a_project_not_summed_yet_is_counted_one_by_one(talked, filters):
    summed()
    ConversationDay.objects.filter(project_id=ConversationDay.objects.first().project_id).delete()
    [[total]] = answers.counts(filters(), Asked(), [Split()])
    assert total.values[0].conversations == 13


def test_sessions_of_several_pages_are_told_apart(talked, filters, monkeypatch):
    monkeypatch.setattr(
        conversations, "SETS", conversations.SETS.replace("number / 4096", "number / 2")
    )
    summed()
    assert ConversationDay.objects.filter(page__gte=3).exists()
    [[total]] = answers.counts(filters(), Asked(), [Split()])
    assert total.values[0].conversations == 13


def test_summed_again_it_is_the_same(talked):
    summed()
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM ingest_conversation_day ORDER BY 1, 2, 3, 4, 5, 6")
        before = cursor.fetchall()
        summed()
        cursor.execute("SELECT * FROM ingest_conversation_day ORDER BY 1, 2, 3, 4, 5, 6")
        assert cursor.fetchall() == before
