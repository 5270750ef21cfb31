"""How often beat nudges this room. A task that finds nothing to do ends at once."""

from ingest.schedule import every

FINOPS_BEAT = {
    "price": every(5, "finops.tasks.price"),
    "price users": every(20, "finops.tasks.price_users"),
    # Its input ends yesterday, so it computes after midnight and when late facts were priced.
    "refresh forecasts": every(600, "finops.tasks.refresh_forecasts"),
}
