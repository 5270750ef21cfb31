"""Facts' owners and sources for Django's admin. Facts themselves are read there, never edited."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from ingest import tokens
from ingest.models import Delivery, Job, Pool, Project, Pull, Reject, Source, Team, Token

# Only these pages say it; in the model it would need a migration that does nothing.
Delivery._meta.verbose_name_plural = "deliveries"


class ReadOnly(admin.ModelAdmin):
    """What the machines wrote stays as they wrote it."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Team)
class TeamAdmin(admin.ModelAdmin):
    search_fields = ["name"]


@admin.register(Project)
class ProjectAdmin(admin.ModelAdmin):
    list_display = ["name", "slug", "team", "environment", "keeps_text", "text_days"]
    list_filter = ["team", "environment"]
    search_fields = ["name", "slug"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Facts name their project by number alone, so that it must stay.
        return False


@admin.register(Pool)
class PoolAdmin(admin.ModelAdmin):
    list_display = ["name", "provider", "gpu_count", "hardware"]


@admin.register(Source)
class SourceAdmin(admin.ModelAdmin):
    list_display = ["name", "kind", "project", "pool", "enabled", "last_success_at", "last_error"]
    list_filter = ["kind", "enabled"]
    search_fields = ["name"]
    readonly_fields = ["cursor", "last_success_at", "last_fact_at", "last_error", "last_error_at"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Token)
class TokenAdmin(ReadOnly):
    """Tokens are made on their own page, where their text is shown once."""

    list_display = [
        "__str__", "name", "source", "scope", "created_by", "last_used_at", "expires_at",
        "revoked_at",
    ]  # fmt: skip
    list_filter = ["scope"]
    exclude = ["secret_sha256"]
    actions = ["revoke"]

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, chosen: QuerySet[Token]) -> None:
        ended = sum(tokens.revoke(token) for token in chosen)
        self.message_user(request, f"{ended} tokens were revoked; they stop working in seconds.")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("ingest.change_token")


@admin.register(Pull)
class PullAdmin(ReadOnly):
    list_display = ["source", "window_from", "state", "rows_in", "inserted", "rejected", "error"]
    list_filter = ["state", "source"]


@admin.register(Delivery)
class DeliveryAdmin(ReadOnly):
    list_display = ["name", "source", "received_at", "complete", "rows_in", "rejected"]


@admin.register(Reject)
class RejectAdmin(ReadOnly):
    list_display = ["received_at", "source", "reason", "field", "detail"]
    list_filter = ["reason", "source"]
    exclude = ["payload"]


@admin.register(Job)
class JobAdmin(ReadOnly):
    list_display = ["kind", "key", "scheduled_for", "state", "attempts", "error"]
    list_filter = ["kind", "state"]
