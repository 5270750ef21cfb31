"""Tokens that scripts and senders use, and the audit chain."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from finops import audit as chain
from finops.actions import connections, people
from finops.forms import AccessTokenForm
from finops.models import AccessToken, Audit
from finops.queries import people as queries
from ingest.models import Token

from .audit_words import detail_said, door_said, object_said
from .page import View, needs, page
from .tables import Cell, Column, Row, Table, time_cell, words_cell

STATE_TONES = {"active": ("Active", "good"), "expired": ("Ended", ""), "revoked": ("Revoked", "")}
SCOPE_LABELS = {
    "read": "read",
    "write": "read and write",
    "admin": "everything its owner may",
    "traces:write": "push traces",
    "gpu:write": "push GPU readings",
}
PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class TokenRow:
    name: str
    shown: str
    may: str
    source: str
    created_at: datetime
    created_by: str
    last_used_at: datetime | None
    state: str
    tone: str
    revoke_href: str


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token, this one time."""

    name: str
    text: str
    how: str = ""
    snippet: str = ""


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def tokens(request: HttpRequest) -> HttpResponse:
    view = View.of(request)
    if request.method != "POST":
        return tokens_page(view, AccessTokenForm())
    form = AccessTokenForm(request.POST)
    if not form.is_valid():
        return tokens_page(view, form, status=422)
    given = form.cleaned_data
    try:
        _, text = people.issue_token(
            request.user, given["name"], given["scope"], expires_at=form.expires_at(), via="page"
        )
    except people.Refused as refused:
        form.add_error(None, str(refused))
        return tokens_page(view, form, status=422)
    address = request.build_absolute_uri(reverse("finops:overview")).rstrip("/")
    issued = Issued(
        given["name"],
        text,
        "Send it with each call, as here:",
        f'curl -H "Authorization: Bearer {text}" {address}/api/v1/spend',
    )
    return tokens_page(view, AccessTokenForm(), issued, status=201)


def tokens_page(
    view: View, form: AccessTokenForm, issued: Issued | None = None, status: int = 200
) -> HttpResponse:
    user = view.request.user
    may_manage = user.has_perm("finops.manage_sources")
    return page(
        view,
        "finops/tokens.html",
        "Tokens",
        lead="How scripts act for you, and how senders prove where their facts belong.",
        with_bar=False,
        status=status,
        issued=issued,
        form=form,
        mine=[own_row(token) for token in queries.access_tokens(user)],
        pushing=[push_row(token, may_manage) for token in queries.push_tokens()]
        if may_manage
        else None,
    )


def own_row(token: AccessToken) -> TokenRow:
    state = queries.token_state(token)
    href = reverse("finops:token-revoke", args=[token.pk]) if state == "active" else ""
    return token_row(token, state, href, source="", created_by="")


def push_row(token: Token, may_manage: bool) -> TokenRow:
    state = queries.token_state(token)
    open_href = reverse("finops:push-token-revoke", args=[token.pk])
    href = open_href if state == "active" and may_manage else ""
    return token_row(token, state, href, source=token.source.name, created_by=token.created_by)


def token_row(token: Any, state: str, href: str, *, source: str, created_by: str) -> TokenRow:
    label, tone = STATE_TONES[state]
    return TokenRow(
        token.name,
        str(token),
        SCOPE_LABELS.get(token.scope, token.scope),
        source,
        token.created_at,
        created_by,
        token.last_used_at,
        label,
        tone,
        href,
    )


@login_required
@require_POST
def revoke(request: HttpRequest, pk: str) -> HttpResponse:
    """One's own token only; another's answers as if there were none."""
    token = get_object_or_404(AccessToken, pk=pk, user=request.user)
    people.revoke_token(token, by=request.user, via="page")
    messages.success(request, f"“{token.name}” works no more.")
    return HttpResponseRedirect(reverse("finops:tokens"))


@login_required
@require_POST
def revoke_push(request: HttpRequest, pk: str) -> HttpResponse:
    if not request.user.has_perm("finops.manage_sources"):
        raise PermissionDenied
    token = get_object_or_404(Token.objects.select_related("source"), pk=pk)
    connections.revoke_push_token(token, by=request.user, via="page")
    messages.success(request, f"“{token.name}” of {token.source.name} works no more.")
    return HttpResponseRedirect(reverse("finops:tokens"))


@needs("finops.view_audit")
@require_safe
def audit(request: HttpRequest) -> HttpResponse:
    if not request.user.has_perm("finops.view_audit"):
        raise PermissionDenied
    view = View.of(request, "actor", "action", "object", "cursor", "verify")
    extra = view.extra
    found = queries.audit_page(
        PAGE_SIZE,
        extra.get("cursor"),
        actor=extra.get("actor", ""),
        action=extra.get("action", ""),
        obj=extra.get("object", ""),
    )
    verification = chain.verify() if extra.get("verify") else None
    return page(
        view,
        "finops/audit.html",
        "Audit",
        lead="Who did what. Each record is sealed with the one before; none can be changed.",
        with_bar=False,
        table=audit_table(found.rows),
        verification=verification,
        chain_said=chain_said(verification) if verification else "",
        verify_href=view.url(verify="1", cursor=""),
        actor=extra.get("actor", ""),
        action=extra.get("action", ""),
        kept=view.pairs(view.filters, "actor", "action", "object", "cursor", "verify"),
        next_href=view.url(cursor=found.next, verify="") if found.next else "",
        first_href=view.url(cursor="") if extra.get("cursor") else "",
        shown=f"{len(found.rows)} records on this page",
    )


def chain_said(found: chain.Check) -> str:
    if found.is_whole:
        return f"all {found.records:,} records fit. The newest seal is {found.head.hex()}."
    return f"record {found.broken_at} does not fit. {found.reason} Ask who may edit the database."


def audit_table(rows: tuple[Audit, ...]) -> Table:
    columns = (
        Column("What"),
        Column("When"),
        Column("Who"),
        Column("On"),
        Column("Detail"),
        Column("Seal"),
    )
    made = []
    for row in rows:
        cells = (
            words_cell(row.action, note=f"#{row.pk}"),
            time_cell(row.at),
            words_cell(row.actor_name, note=door_said(row.via)),
            replace(words_cell(object_said(row.object_type, row.object_id)), value=on(row)),
            Cell(detail_said(row.detail), json.dumps(row.detail)),
            words_cell(bytes(row.hash).hex()[:12]),
        )
        made.append(Row(cells))
    return Table("audit", "Audit records, newest first", columns, tuple(made), empty="No records.")


def on(row: Audit) -> str:
    """As the API and the filter name it."""
    return f"{row.object_type}:{row.object_id}"
