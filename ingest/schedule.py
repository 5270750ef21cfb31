"""How often beat nudges this room. A message expires with its interval, so none pile up."""


def every(seconds: float, task: str) -> dict:
    return {"task": task, "schedule": seconds, "options": {"expires": seconds}}


INGEST_BEAT = {
    "roll up": every(3, "ingest.tasks.roll_up"),
    "sum users": every(20, "ingest.tasks.sum_users"),
    "schedule pulls": every(5, "ingest.tasks.schedule_pulls"),
    "keep house": every(3600, "ingest.tasks.keep_house"),
}
