"""People, prices and the audit chain for Django's admin. What is sealed is read there only."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.db import transaction
from django.http import HttpRequest

from finops import audit
from finops.models import (
    Audit,
    BillMatch,
    HardwarePrice,
    Membership,
    ModelAlias,
    Price,
    PriceBook,
    User,
)
from ingest.admin import ReadOnly

admin.site.site_header = "Breakeven"
admin.site.site_title = "Breakeven admin"


class Audited(admin.ModelAdmin):
    """Saves and deletes with an audit record in the same transaction."""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            verb = "change" if change else "add"
            # Names of fields only: a value may be a password.
            self._record(request, obj, verb, {"fields": sorted(form.changed_data)})

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        with transaction.atomic():
            self._record(request, obj, "delete", {"was": str(obj)})
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for obj in queryset:
            self.delete_model(request, obj)

    def _record(self, request: HttpRequest, obj: Any, verb: str, detail: dict) -> None:
        audit.record(request.user, "admin", f"{obj._meta.model_name}.{verb}", obj, detail)


@admin.register(User)
class PersonAdmin(Audited, UserAdmin):
    """Roles are memberships, so groups and single permissions are not offered here."""

    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email", "time_zone")}),
        ("Access", {"fields": ("is_active", "is_staff")}),
    )
    list_display = ("username", "email", "is_active", "is_staff", "last_login")
    list_filter = ("is_active", "is_staff")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # The audit chain names people for ever; an account is switched off instead.
        return False


class MembershipForm(forms.ModelForm):
    """Two people make an approver: whoever hands out roles gets theirs from somebody else."""

    giver: User

    def clean_user(self) -> User:
        user = self.cleaned_data["user"]
        if user == self.giver:
            raise forms.ValidationError("Nobody gives a role to themselves; ask another admin.")
        return user


@admin.register(Membership)
class MembershipAdmin(Audited):
    form = MembershipForm
    list_display = ("user", "role", "team", "project")
    list_filter = ("role",)
    list_select_related = ("user", "role", "team", "project")

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        return type("Form", (super().get_form(request, obj, **kwargs),), {"giver": request.user})


@admin.register(BillMatch)
class BillMatchAdmin(Audited):
    list_display = ("usage_provider", "bill_provider", "bill_service")


@admin.register(PriceBook)
class PriceBookAdmin(ReadOnly):
    list_display = ("version", "source", "created_at", "note")


@admin.register(Price)
class PriceAdmin(ReadOnly):
    list_display = ("book", "provider", "model", "unit", "tier", "amount", "currency", "is_own")
    list_filter = ("book", "is_own", "unit")
    search_fields = ("provider", "model")
    list_select_related = ("book",)


@admin.register(HardwarePrice)
class HardwarePriceAdmin(ReadOnly):
    list_display = ("book", "hardware", "hourly", "currency", "valid_from")


@admin.register(ModelAlias)
class ModelAliasAdmin(ReadOnly):
    list_display = ("book", "provider", "model", "price_provider", "price_model")
    search_fields = ("provider", "model")


@admin.register(Audit)
class AuditAdmin(ReadOnly):
    list_display = ("at", "actor_name", "via", "action", "object_type", "object_id")
    list_filter = ("via", "action")
    search_fields = ("actor_name", "object_id")
