"""The optimiser's rows for Django's admin, to be read there and nowhere written.

What is decided there would go past the second person, so nothing can be.
"""

from __future__ import annotations

from django.contrib import admin

from ingest.admin import ReadOnly
from optimiser.models import (
    Approval,
    Calibration,
    Change,
    Evidence,
    Recommendation,
    Rollout,
    Server,
    Target,
    Verdict,
)


@admin.register(Server)
class ServerAdmin(ReadOnly):
    list_display = ["name", "url", "timeout_s", "statistics_source"]
    exclude = ["admin_key"]


@admin.register(Target)
class TargetAdmin(ReadOnly):
    list_display = ["model", "server", "project", "pool", "live_state", "checked_at"]
    list_filter = ["live_state", "kind"]
    list_select_related = ["server", "project", "pool"]


@admin.register(Calibration)
class CalibrationAdmin(ReadOnly):
    list_display = ["target", "state", "requested_at", "finished_at", "error"]
    list_filter = ["state"]
    list_select_related = ["target__server"]


@admin.register(Evidence)
class EvidenceAdmin(ReadOnly):
    list_display = ["lever", "kind", "target", "window_from", "window_to", "requests", "input_hash"]
    list_select_related = ["target__server"]


@admin.register(Recommendation)
class RecommendationAdmin(ReadOnly):
    list_display = ["title", "lever", "outcome", "state", "target", "created_at"]
    list_filter = ["outcome", "state", "lever"]
    list_select_related = ["target__server"]


@admin.register(Change)
class ChangeAdmin(ReadOnly):
    list_display = ["title", "state", "target", "proposer", "plan_hash", "created_at"]
    list_filter = ["state", "lever"]
    list_select_related = ["target__server", "proposer"]


@admin.register(Approval)
class ApprovalAdmin(ReadOnly):
    list_display = ["change", "decision", "approver", "plan_hash", "via", "at", "voided_at"]
    list_filter = ["decision", "via"]
    list_select_related = ["change", "approver"]


@admin.register(Rollout)
class RolloutAdmin(ReadOnly):
    list_display = ["change", "state", "target", "started_at", "finished_at", "reason"]
    list_filter = ["state"]
    list_select_related = ["change", "target__server"]


@admin.register(Verdict)
class VerdictAdmin(ReadOnly):
    list_display = ["rollout", "look", "looks", "outcome", "reason", "judge_version", "at"]
    list_filter = ["outcome"]
    list_select_related = ["rollout__change"]
