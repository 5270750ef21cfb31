"""How often beat nudges this room. A task that finds nothing to do ends at once."""

from ingest.schedule import every

FINOPS_BEAT = {
    "price": every(5, "finops.tasks.price"),
    "price users": every(20, "finops.tasks.price_users"),
    "land allocation": every(20, "finops.tasks.land_allocation"),
    # Reads the costs of all days that something is split by.
    "land split usage": every(300, "finops.tasks.land_split_usage"),
    # Its input ends yesterday, so it computes after midnight and when late facts were priced.
    "refresh forecasts": every(600, "finops.tasks.refresh_forecasts"),
    "evaluate budgets": every(10, "finops.tasks.evaluate_budgets"),
    # Objectives, and proposals that nobody decided on in time.
    "evaluate objectives": every(60, "finops.tasks.evaluate_objectives"),
    # Looks for alerts, ends those that are over, reminds and escalates.
    "watch": every(60, "finops.tasks.watch"),
    # Messages that a nudge was lost for, and those whose next attempt is due.
    "sweep channels": every(2, "finops.tasks.sweep_channels"),
    # Buttons pressed in Slack that a nudge was lost for.
    "sweep presses": every(10, "finops.tasks.sweep_presses"),
    "forget messages": every(3600, "finops.tasks.forget_messages"),
}
