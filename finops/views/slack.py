"""Where Slack tells of buttons, and where people say which user of Slack they are.

A press is checked, kept and answered at once; a worker carries it out. Refuses approvals: Slack has
no button for them.
"""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from finops import problems
from finops.actions.slack import linking, pressing
from finops.models import SlackLink
from finops.problems import Problem
from finops.queries import slack as queries

from .page import Action, View, page
from .tables import Column, Row, Table, csv_response, time_cell, words_cell

COLUMNS = (
    Column("Slack user"),
    Column("Acts as"),
    Column("Slack's id"),
    Column("Workspace"),
    Column("Since"),
)


@csrf_exempt
@require_POST
def actions(request: HttpRequest) -> HttpResponse:
    """Slack waits three seconds: nothing is asked of anybody else here."""
    try:
        if int(request.headers.get("Content-Length") or 0) > pressing.MOST_BYTES:
            raise pressing.Refused(413, "That is larger than any press of a button.")
        pressing.take(
            request.body,
            request.headers.get("X-Slack-Request-Timestamp", ""),
            request.headers.get("X-Slack-Signature", ""),
            timezone.now(),
        )
    except pressing.Refused as refused:
        return problems.respond(request, Problem(refused.status, str(refused)))
    return HttpResponse()


@login_required
@require_safe
def links(request: HttpRequest) -> HttpResponse:
    return links_page(View.of(request, "code"))


@login_required
@require_safe
def links_csv(request: HttpRequest) -> HttpResponse:
    return csv_response(links_table(queries.links(request.user)), "slack-users.csv")


@login_required
@require_POST
def link(request: HttpRequest) -> HttpResponse:
    try:
        made = linking.link(request.POST.get("code", ""), by=request.user, via="page")
    except linking.Refused as refused:
        messages.error(request, str(refused))
    else:
        said = f"The Slack user {made.slack_name} acts as you now. Press the button in Slack again."
        messages.success(request, said)
    return HttpResponseRedirect(reverse("finops:slack-users"))


@login_required
@require_POST
def unlink(request: HttpRequest, pk: int) -> HttpResponse:
    held = queries.one_link(request.user, pk)
    if held is None:
        raise Http404("There is no such Slack user that you may see.")
    linking.unlink(held, by=request.user, via="page")
    messages.success(request, f"The Slack user {held.slack_name} acts for nobody now.")
    return HttpResponseRedirect(reverse("finops:slack-users"))


def links_page(view: View) -> HttpResponse:
    found, code = queries.links(view.request.user), view.extra.get("code", "")
    table = links_table(found)
    return page(
        view,
        "finops/slack_users.html",
        "Slack users",
        lead="Which user of Slack acts as whom when a button is pressed there.",
        with_bar=False,
        actions=[Action("CSV", view.to("slack-users-csv"), "download", download=True)]
        if found
        else [],
        table=table,
        lines=list(zip(found, table.lines, strict=True)),
        code=code,
        waiting=queries.waiting(code, timezone.now()) if code else None,
        shows_everybody=view.request.user.has_perm(queries.MANAGE),
    )


def links_table(found: list[SlackLink]) -> Table:
    return Table(
        "slack-users",
        "Slack users, newest first",
        COLUMNS,
        tuple(
            Row(
                (
                    words_cell(held.slack_name),
                    words_cell(held.user.get_username()),
                    words_cell(held.slack_user_id, fixed=True),
                    words_cell(held.team_id, fixed=True),
                    time_cell(held.linked_at),
                )
            )
            for held in found
        ),
        empty="No Slack user acts as you yet.",
    )
