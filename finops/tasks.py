"""What Celery may ask of this room. Each task calls one function, which decides what is due."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from finops.actions import budget_watch, pricing, slos, user_costs
from finops.actions.channels import delivery, outbox
from finops.actions.slack import acting

MOST_ROUNDS = 20
"""A task ends within minutes even under a backlog; the next one goes on."""

MOST_LANDED_AGAIN = 200
"""Bills, and days of pools or senders, each a second's work, whose usage has changed."""


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
def land_allocation() -> int:
    from finops.actions.allocation import landing

    done = 0
    for _ in range(MOST_ROUNDS):
        landed = landing.land()
        done += landed
        if not landed:
            break
    return done


@shared_task
def land_split_usage() -> int:
    from finops.actions.allocation import landing

    return landing.land(MOST_LANDED_AGAIN, looks_at_usage=True)


@shared_task
def refresh_forecasts() -> int:
    from finops.actions import forecasting  # brings in 2 s of statistics, for workers only
    from finops.queries.filters import today

    return forecasting.refresh_forecasts(today())


@shared_task
def evaluate_budgets() -> int:
    return budget_watch.evaluate_all(timezone.now())


@shared_task
def evaluate_objectives() -> int:
    now = timezone.now()
    return slos.expire_overdue(now) + slos.evaluate_all(now)


@shared_task
def deliver(channel_id: int) -> int:
    return delivery.deliver(channel_id)


@shared_task
def sweep_channels() -> int:
    return outbox.sweep()


@shared_task
def carry_out_press(press_id: int) -> str:
    return acting.carry_out(press_id, timezone.now())


@shared_task
def sweep_presses() -> int:
    return acting.sweep(timezone.now())


@shared_task
def forget_messages() -> int:
    return outbox.forget_old()


@shared_task
def watch() -> int:
    from finops.actions.alerting import producers

    return producers.watch(timezone.now())
