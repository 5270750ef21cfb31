import subprocess
import sys

from django.conf import settings

from finops import tasks
from finops.actions import forecasting, pricing
from finops.schedule import FINOPS_BEAT
from finops.tasks import price, refresh_forecasts


def test_price_goes_on_until_nothing_is_due(monkeypatch):
    rounds = iter([200, 30, 0])
    monkeypatch.setattr(pricing, "price_hours", lambda: next(rounds))
    assert price() == 230


def test_price_ends_even_when_the_backlog_does_not(monkeypatch):
    monkeypatch.setattr(pricing, "price_hours", lambda: 1)
    assert price() == tasks.MOST_ROUNDS


def test_forecasts_are_made_as_of_today_in_the_accounting_zone(monkeypatch, settings):
    settings.ACCOUNTING_TIME_ZONE = "Pacific/Kiritimati"
    from finops.queries.filters import today

    asked = []
    monkeypatch.setattr(forecasting, "refresh_forecasts", lambda day: asked.append(day) or 3)
    assert refresh_forecasts() == 3
    assert asked == [today()]


def test_every_scheduled_task_exists():
    names = {entry["task"].removeprefix("finops.tasks.") for entry in FINOPS_BEAT.values()}
    assert names == {
        "evaluate_budgets",
        "evaluate_objectives",
        "forget_messages",
        "land_allocation",
        "land_split_usage",
        "price",
        "price_users",
        "refresh_forecasts",
        "sweep_channels",
        "sweep_presses",
        "watch",
    }
    assert all(callable(getattr(tasks, name)) for name in names)


def test_every_process_nudges_through_our_own_broker():
    """Asked of a fresh process: this one has imported the Celery application for other tests."""
    code = "from celery import current_app as app; print(app.main, app.conf.broker_url)"
    command = [sys.executable, "manage.py", "shell", "-v0", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["breakeven", settings.CELERY_BROKER_URL]
