"""Connecting a source, its push tokens, and files from somebody's hand."""

from __future__ import annotations

import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from finops.actions import connections
from finops.actions.connections import NewSource
from finops.actions.trying import can_be_tried
from finops.queries import sources as queries
from finops.queries.sources import SourceRow
from finops.source_forms import ConnectForm, UploadForm
from finops.templatetags import words
from ingest.files import Taken
from ingest.models import Pool, Project, Source, Team
from ingest.sources import REGISTRY
from ingest.sources.base import BadConfig, BadFile, FileSource, PushSource

from .page import View, needs, page
from .settings import Issued
from .sources import may_upload, source_page

HOW = {
    "otlp": "Set one of these where your program runs; traces arrive within seconds:",
    "gpu": "Run this on each GPU host; readings arrive within seconds:",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an uploaded file, for its page."""

    title: str
    sentence: str
    facts: list[tuple[str, str]]
    warnings: tuple[str, ...]


@needs("finops.manage_sources")
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """First the kind, then what that kind needs."""
    demand(request, "finops.manage_sources")
    view = View.of(request, "kind")
    adapter = REGISTRY.get(view.extra.get("kind", ""))
    if adapter is None:
        return kinds_page(view)
    if request.method != "POST":
        return form_page(view, ConnectForm(adapter))
    form = ConnectForm(adapter, request.POST)
    if not form.is_valid():
        return form_page(view, form, status=422)
    try:
        source = connections.connect(described(adapter.kind, form), by=request.user, via="page")
    except connections.Refused as refused:
        form.add_error(refused.field, refused.message)
        return form_page(view, form, status=422)
    if isinstance(adapter, PushSource):
        return issued_page(view, source)
    messages.success(request, f"“{source.name}” is connected.")
    return HttpResponseRedirect(reverse("finops:source", args=[source.pk]))


def demand(request: HttpRequest, permission: str) -> None:
    """The permission over the whole organisation, not just somewhere."""
    if not request.user.has_perm(permission):
        raise PermissionDenied


def kinds_page(view: View) -> HttpResponse:
    return page(
        view,
        "finops/source_kinds.html",
        "Connect a source",
        lead="What brings the facts?",
        crumbs=(("Sources", view.to("sources")),),
        with_bar=False,
        kinds=[
            (adapter.label, adapter.help, view.url(kind=kind)) for kind, adapter in REGISTRY.items()
        ],
    )


def form_page(view: View, form: ConnectForm, status: int = 200, tried: Any = None) -> HttpResponse:
    adapter = form.adapter
    return page(
        view,
        "finops/source_new.html",
        f"Connect: {adapter.label}",
        lead=adapter.help,
        crumbs=(("Sources", view.to("sources")), ("Connect a source", view.to("source-new"))),
        with_bar=False,
        status=status,
        form=form,
        action=view.to("source-new", kind=adapter.kind),
        try_action=view.to("source-new-test", kind=adapter.kind)
        if can_be_tried(adapter.kind)
        else "",
        tried=tried,
        projects=Project.objects.values_list("name", flat=True),
        teams=Team.objects.values_list("name", flat=True),
        pools=Pool.objects.values_list("name", flat=True),
    )


def described(kind: str, form: ConnectForm) -> NewSource:
    given = form.cleaned_data
    names = ("name", "config", "interval_s", "project", "team", "pool", "provider", "hardware")
    known = {name: given[name] for name in (*names, "gpu_count") if name in given}
    return NewSource(kind=kind, **known)


def issued_page(view: View, source: Source, status: int = 201) -> HttpResponse:
    """The source's page with a new token, this one time."""
    user = view.request.user
    name = f"{source.name} {source.tokens.count() + 1}"
    token, text = connections.issue_push_token(source, name, by=user, via="page")
    pool = source.pool.name if source.pool else ""
    snippet = push_snippet(view.request, text, source.kind, pool)
    issued = Issued(token.name, text, HOW[source.kind], snippet)
    return source_page(view, found(view, source.pk), status=status, issued=issued)


def found(view: View, pk: int) -> SourceRow:
    row = queries.source_detail(view.request.user, pk)
    if row is None:
        raise Http404("There is no such source that you may see.")
    return row


@needs("finops.manage_sources")
@require_POST
def issue(request: HttpRequest, pk: int) -> HttpResponse:
    demand(request, "finops.manage_sources")
    view = View.of(request)
    source = found(view, pk).source
    if not isinstance(REGISTRY[source.kind], PushSource):
        raise Http404("Nothing pushes to this source.")
    return issued_page(view, source)


@needs("finops.manage_sources")
@require_POST
def switch(request: HttpRequest, pk: int) -> HttpResponse:
    demand(request, "finops.manage_sources")
    source = found(View.of(request), pk).source
    enabled = request.POST.get("enabled") == "1"
    connections.switch(source, enabled, by=request.user, via="page")
    said = "takes facts again" if enabled else "takes nothing more; what it brought stays"
    messages.success(request, f"“{source.name}” {said}.")
    return HttpResponseRedirect(reverse("finops:source", args=[pk]))


@needs("finops.view_sources")
@require_POST
def upload(request: HttpRequest, pk: int) -> HttpResponse:
    view = View.of(request)
    row = found(view, pk)
    source = row.source
    if not isinstance(REGISTRY[source.kind], FileSource):
        raise Http404("This source takes no files.")
    if not may_upload(request.user, source):
        raise PermissionDenied
    form = UploadForm(source.kind, request.POST, request.FILES)
    if form.is_valid():
        try:
            taken = take(view, source, form)
        except (BadFile, BadConfig) as error:
            form.add_error("file", str(error))
        else:
            name = form.cleaned_data["file"].name
            return source_page(view, found(view, pk), outcome=outcome(name, taken))
    return source_page(view, row, status=422, upload=form)


def take(view: View, source: Source, form: UploadForm) -> Taken:
    """Adapters read files by their path and tell formats by the name's ending."""
    file: UploadedFile = form.cleaned_data["file"]
    name = PurePath(file.name or "file").name[-100:]
    with tempfile.TemporaryDirectory(prefix="breakeven-upload-") as folder:
        path = Path(folder) / f"upload{''.join(PurePath(name).suffixes[-2:])}"
        with path.open("wb") as copy:
            for chunk in file.chunks():
                copy.write(chunk)
        try:
            return connections.take_file(
                source,
                path,
                name=name,
                complete=form.cleaned_data.get("complete", True),
                by=view.request.user,
                via="page",
            )
        except BadFile as error:
            # People know the file by the name they gave it.
            raise BadFile(str(error).replace(path.name, name)) from error


def outcome(name: str, taken: Taken) -> Outcome:
    counts = taken.counts
    if taken.repeats:
        sentence = f"The very same file came on {words.when_text(taken.repeats)}; nothing changed."
    elif counts.rejected:
        rows = "1 row was" if counts.rejected == 1 else f"{counts.rejected:,} rows were"
        sentence = f"{rows} refused; below is why and what to mend."
    else:
        sentence = "Every row was taken. Costs follow within seconds."
    return Outcome(
        f"{name}: {counts.rows_in:,} rows",
        sentence,
        [
            ("New", words.count(counts.inserted)),
            ("Changed", words.count(counts.updated)),
            ("Known already", words.count(counts.unchanged)),
            ("Older than what we have", words.count(counts.stale)),
            ("Refused", words.count(counts.rejected)),
        ],
        taken.warnings,
    )


def push_snippet(request: HttpRequest, token: str, kind: str = "otlp", pool: str = "") -> str:
    """What to paste where the facts are made, with this installation's own address."""
    adapter = REGISTRY[kind]
    assert isinstance(adapter, PushSource)
    address = request.build_absolute_uri("/").rstrip("/")
    if kind == "gpu":
        return (
            f"export BREAKEVEN_PROBE_URL={address}\n"
            f"export BREAKEVEN_PROBE_TOKEN={token}\n"
            # The server takes a batch only for the pool of its token.
            f"export BREAKEVEN_PROBE_POOL={shlex.quote(pool)}\n"
            "python -m gpu_probe"
        )
    return (
        f"export OTEL_EXPORTER_OTLP_TRACES_ENDPOINT={address}{adapter.path}\n"
        "export OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf\n"
        f'export OTEL_EXPORTER_OTLP_TRACES_HEADERS="Authorization=Bearer%20{token}"\n'
        "\n# Or, where a Langfuse SDK runs:\n"
        f"export LANGFUSE_HOST={address} LANGFUSE_BASE_URL={address}\n"
        # A secret may hold underscores; what comes before it holds one.
        f"export LANGFUSE_PUBLIC_KEY={'_'.join(token.split('_')[:2])}\n"
        f"export LANGFUSE_SECRET_KEY={token}"
    )
