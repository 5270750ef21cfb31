"""How often beat nudges this room. A task that finds nothing to do ends at once."""

from ingest.schedule import every

FINOPS_BEAT = {
    "price": every(5, "finops.tasks.price"),
    "price users": every(20, "finops.tasks.price_users"),
    # Its input ends yesterday, so it computes after midnight and when late facts were priced.
    "refresh forecasts": every(600, "finops.tasks.refresh_forecasts"),
    "evaluate budgets": every(60, "finops.tasks.evaluate_budgets"),
    # Looks for alerts, ends those that are over, reminds and escalates.
    "watch": every(60, "finops.tasks.watch"),
    # Messages that a nudge was lost for, and those whose next attempt is due.
    "sweep channels": every(2, "finops.tasks.sweep_channels"),
    "forget messages": every(3600, "finops.tasks.forget_messages"),
}
