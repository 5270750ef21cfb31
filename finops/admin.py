"""People, prices and the audit chain for Django's admin. What is sealed is read there only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.db import transaction
from django.http import HttpRequest, HttpResponseRedirect

from finops import audit
from finops.actions import people
from finops.models import (
    Audit,
    BillMatch,
    HardwarePrice,
    LedgerEntry,
    Membership,
    ModelAlias,
    Price,
    PriceBook,
    User,
)
from ingest.admin import ReadOnly

admin.site.site_header = "Breakeven"
admin.site.site_title = "Breakeven admin"
admin.site.index_title = "Settings that have no page of their own"

# Only these pages say them; in the models each would need a migration that does nothing.
Audit._meta.verbose_name_plural = "audit records"
BillMatch._meta.verbose_name_plural = "bill matches"
ModelAlias._meta.verbose_name_plural = "model aliases"


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


class KeepsAnAdmin(Audited):
    """Refuses, with the sentence and no change, what would leave nobody to hand out roles."""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        with people.keeping_an_admin():
            super().save_model(request, obj, form, change)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        with people.keeping_an_admin():
            super().delete_queryset(request, queryset)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return said_instead(request, super().changeform_view, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return said_instead(request, super().delete_view, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return said_instead(request, super().changelist_view, *args, **kwargs)


def said_instead(request: HttpRequest, page: Callable[..., Any], *args: Any, **more: Any) -> Any:
    """The page, or its address again with why nothing was done."""
    try:
        return page(request, *args, **more)
    except people.Refused as refused:
        messages.error(request, str(refused))
        return HttpResponseRedirect(request.get_full_path())


@admin.register(User)
class PersonAdmin(KeepsAnAdmin, UserAdmin):
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
class MembershipAdmin(KeepsAnAdmin):
    form = MembershipForm
    list_display = ("user", "role", "team", "project")
    list_filter = ("role",)
    list_select_related = ("user", "role", "team", "project")

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        return type("Form", (super().get_form(request, obj, **kwargs),), {"giver": request.user})

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        people.take_role(obj, by=request.user, via="admin")


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
    list_display = ("book", "hardware", "hourly", "currency", "billed_by", "valid_from")


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnly):
    list_display = ("id", "kind", "counts_as", "title", "period_from", "cash", "currency")
    list_filter = ("kind", "counts_as", "provisional")
    search_fields = ("change_ref", "title")


@admin.register(ModelAlias)
class ModelAliasAdmin(ReadOnly):
    list_display = ("book", "provider", "model", "price_provider", "price_model")
    search_fields = ("provider", "model")


@admin.register(Audit)
class AuditAdmin(ReadOnly):
    list_display = ("at", "actor_name", "via", "action", "object_type", "object_id")
    list_filter = ("via", "action")
    search_fields = ("actor_name", "object_id")
