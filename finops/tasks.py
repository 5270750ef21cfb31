"""What Celery may ask of this room. Each task calls one function, which decides what is due."""

from __future__ import annotations

from celery import shared_task

from finops.actions import pricing, user_costs

MOST_ROUNDS = 20
"""A task ends within minutes even under a backlog; the next one goes on."""


@shared_task
def price() -> int:
    done = 0
    for _ in range(MOST_ROUNDS):
        hours = pricing.price_hours()
        done += hours
        if not hours:
            break
    return done


@shared_task
def price_users() -> int:
    return user_costs.price_user_days()


@shared_task
def refresh_forecasts() -> int:
    from finops.actions import forecasting  # brings in 2 s of statistics, for workers only
    from finops.queries.filters import today

    return forecasting.refresh_forecasts(today())
