"""The main job on real input: published traces and a real bill, loaded, counted and shown.

Row counts and totals are computed from the files by DuckDB, which shares no code with us.
"""

import re
from decimal import Decimal

import duckdb
import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db.models import Count, Sum

from finops import access
from finops.actions.pricing import price_hours
from finops.models import Membership, User
from ingest.models import BillDay, BillLine, DirtyHour, Project, Span, SpanDay
from ingest.rollup import roll_up

pytestmark = pytest.mark.django_db


@pytest.fixture
def asha(client, settings):
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    access.ensure_roles()
    user = User.objects.create_user("asha")
    Membership.objects.create(user=user, role=Group.objects.get(name="analyst"))
    client.force_login(user)
    return client


def figures(html: str) -> set[str]:
    """Every number on a page, as it is written there."""
    return set(re.findall(r"[\d][\d,.]*", re.sub(r"<[^>]+>", " ", html)))


def load_log(file, project, preset, model, capsys):
    Project.objects.get_or_create(slug=project, defaults={"name": project})
    capsys.readouterr()
    call_command(
        "load", "request_log", str(file), "--source", project, "--project", project,
        "--preset", preset, "--set", "provider=openai", "--set", f"model={model}",
    )  # fmt: skip
    roll_up(10_000)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "preset", "columns", "days"),
    [
        (
            "llm_requests/azure2023_code.csv.gz",
            "azure2023_code",
            ("input_tokens", "output_tokens"),
            "from=2023-11-16&to=2023-11-17",
        ),
        (
            "llm_requests/mooncake_conversation_first30min.jsonl.gz",
            "mooncake",
            ("input_length", "output_length"),
            "from=2024-10-01&to=2024-10-02",
        ),
    ],
)
def test_published_trace_is_stored_once_and_shown_as_duckdb_counts_it(
    file,
    preset,
    columns,
    days,
    shared,
    asha,
    capsys,
):
    path = shared(file)
    reader = "read_csv" if ".csv" in file else "read_json"
    rows, read, written = duckdb.sql(
        f"SELECT count(*), sum({columns[0]})::bigint, sum({columns[1]})::bigint"
        f" FROM {reader}('{path}')"
    ).fetchall()[0]

    load_log(path, preset.replace("_", "-"), preset, "gpt-4o-mini", capsys)
    project = Project.objects.get(slug=preset.replace("_", "-"))
    stored = Span.objects.filter(project_id=project.pk).aggregate(
        n=Count("key"), read=Sum("input_tokens"), written=Sum("output_tokens")
    )
    summed = SpanDay.objects.filter(project_id=project.pk).aggregate(
        n=Sum("spans"), read=Sum("input_tokens"), written=Sum("output_tokens")
    )
    assert stored == summed == {"n": rows, "read": read, "written": written}

    while price_hours():
        pass
    page = asha.get(f"/requests?{days}&group_by=project").content.decode()
    assert {f"{rows:,}", f"{read:,}", f"{written:,}"} <= figures(page)
    # 0.15 and 0.60 dollars per million tokens, gpt-4o-mini's list price at both times.
    cost = (Decimal(read) * Decimal("0.15") + Decimal(written) * Decimal("0.60")) / 1_000_000
    assert f"{cost:,.2f}" in figures(asha.get(f"/costs?{days}").content.decode())

    assert load_log(path, project.slug, preset, "gpt-4o-mini", capsys).startswith("Unchanged")
    assert not DirtyHour.objects.exists()
    assert Span.objects.filter(project_id=project.pk).count() == rows


def test_official_focus_sample_is_stored_once_and_shown_as_duckdb_sums_it(
    shared,
    asha,
    capsys,
):
    path = shared("billing/focus_1_0_sample_1000.csv.gz")
    rows, billed, effective = duckdb.sql(
        "SELECT count(*), sum(BilledCost::decimal(38, 20)), sum(EffectiveCost::decimal(38, 20))"
        f" FROM read_csv('{path}', all_varchar = true)"
    ).fetchall()[0]

    def load():
        call_command("load", "focus_csv", str(path), "--source", "Official sample")
        return capsys.readouterr().out

    assert "rounded" in load()  # AWS gave whole dollars as EffectiveCost: a warning, not a silence
    lines = BillLine.objects.aggregate(
        n=Count("line"), billed=Sum("billed_cost"), effective=Sum("effective_cost")
    )
    assert lines == {"n": rows, "billed": billed, "effective": effective}
    days = BillDay.objects.aggregate(n=Sum("lines"), billed=Sum("billed_cost"))
    assert days == {"n": rows, "billed": billed}

    window = "from=2024-08-01&to=2024-11-01&basis=bill"
    for metric, cost in (("effective", effective), ("billed", billed)):
        page = asha.get(f"/costs?{window}&metric={metric}").content.decode()
        assert f"{cost:,.2f}" in figures(page)

    assert load().startswith("Unchanged")
    assert BillLine.objects.count() == rows
