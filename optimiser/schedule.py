"""How often beat nudges this room. `apps` adds it: nothing below may know of it."""

from ingest.schedule import every

OPTIMISER_BEAT = {
    # A rollout whose controller is gone has its old config back within seconds of its lease.
    "take over rollouts": every(5, "optimiser.tasks.take_over"),
}
