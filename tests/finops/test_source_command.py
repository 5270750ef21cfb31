"""Sources from the command line: connected, changed, given a key, each with its audit record."""

import sys
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from finops.models import Audit
from ingest import source_secrets, tokens
from ingest.models import Source
from tests.ingest.sources.langfuse_stub import SECRET, Stub, serving

pytestmark = pytest.mark.django_db


@pytest.fixture
def stub(settings):
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    with serving(Stub()) as serves:
        yield serves


def said(monkeypatch, *arguments: str, typed: str = "") -> str:
    out = StringIO()
    monkeypatch.setattr(sys, "stdin", StringIO(typed))
    call_command(*arguments, stdout=out)
    return out.getvalue()


def settings_of(stub) -> list[str]:
    plain = {name: value for name, value in stub.config.items() if name != "secret_key"}
    return [f"--set={name}={value}" for name, value in plain.items()]


@pytest.fixture
def langfuse(stub, monkeypatch):
    arguments = ("source", "connect", "langfuse", "Langfuse", "--project=Search", "--every=60")
    said(monkeypatch, *arguments, *settings_of(stub), "--secret=secret_key", typed=f"{SECRET}\n")
    return Source.objects.get()


def test_source_is_connected_with_a_secret_from_the_input(langfuse, monkeypatch):
    assert (langfuse.project.name, langfuse.interval_s) == ("Search", 60)
    assert source_secrets.opened(langfuse)["secret_key"] == SECRET
    assert "secret_key" not in langfuse.config
    assert "Observations come by" in said(monkeypatch, "check_source", "Langfuse")
    records = Audit.objects.filter(action__startswith="source.")
    assert [(one.action, one.via) for one in records] == [("source.add", "command")]
    assert SECRET not in str(list(Audit.objects.values_list("detail", flat=True)))


def test_source_that_pushes_comes_with_its_token(monkeypatch, tmp_path):
    file = tmp_path / "token"
    arguments = ("source", "connect", "otlp", "Shop", "--project=Shop", f"--token-file={file}")
    assert said(monkeypatch, *arguments) == (
        f"“Shop” is connected.\nIts push token is in {file}.\n"
    )
    source = Source.objects.get()
    assert file.stat().st_mode & 0o777 == 0o600
    found = tokens.authenticate(f"Bearer {file.read_text().strip()}", "traces:write")
    assert found.source == source
    assert "Push token (shown once): " in said(monkeypatch, "source", "token", "Shop")


def test_new_key_takes_effect_and_the_audit_says_only_that_it_changed(langfuse, monkeypatch):
    change = ("source", "change", "Langfuse", "--secret=secret_key")
    assert said(monkeypatch, *change, typed="sk-lf-wrong\n") == "Changed: config.secret_key.\n"
    with pytest.raises(CommandError, match="refuses the keys"):
        said(monkeypatch, "check_source", "Langfuse")
    said(monkeypatch, *change, typed=f"{SECRET}\n")
    assert "Observations come by" in said(monkeypatch, "check_source", "Langfuse")
    detail = Audit.objects.filter(action="source.change").latest("id").detail
    assert detail == {"name": "Langfuse", "to": {}, "settings": ["secret_key"]}


def test_name_interval_and_state_are_changed(langfuse, monkeypatch):
    out = said(
        monkeypatch, "source", "change", "Langfuse", "--rename=Traces", "--every=120", "--off",
        "--set=page_size=20",
    )  # fmt: skip
    assert out == "Changed: name, interval_s, config.page_size, enabled.\n"
    assert said(monkeypatch, "source", "list") == "Traces\tlangfuse\tswitched off\n"
    changed = Source.objects.get()
    assert (changed.interval_s, changed.config["page_size"]) == (120, 20)
    assert source_secrets.opened(changed)["secret_key"] == SECRET


def test_the_same_again_changes_nothing_and_leaves_no_record(langfuse, monkeypatch):
    out = said(monkeypatch, "source", "change", "Langfuse", "--every=60", "--rename=Langfuse")
    assert out == "Changed: nothing.\n"
    assert not Audit.objects.filter(action="source.change").exists()


@pytest.mark.parametrize(
    ("arguments", "typed", "sentence"),
    [
        (("change", "Nobody"), "", "There is no source Nobody"),
        (("change", "Langfuse", "--secret=public_key"), "x", "public_key is no secret of Langfuse"),
        (("change", "Langfuse", "--set=secret_key=x"), "", "is a secret: use --secret"),
        (("change", "Langfuse", "--secret=secret_key"), "", "secret_key: Is missing"),
        (("change", "Langfuse", "--set=page_size"), "", "write it as SETTING=VALUE"),
        (("change", "Langfuse", "--set=page_size=many"), "", "page_size: Write it as JSON"),
        (("change", "Langfuse", "--set=colour=red"), "", "colour: Is no setting of Langfuse"),
        (("change", "Langfuse", "--every=1"), "", "interval_s: Must be from"),
        (("change", "Langfuse", f"--rename={'x' * 101}"), "", "name: Give it a name of at most"),
        (("connect", "nonsense", "New"), "", "kind: Use one of"),
        (("connect", "otlp", "Langfuse", "--project=P"), "", "name: There is a source of this"),
        (("connect", "otlp", "New"), "", "project: Name the project"),
        (("connect", "otlp", "New", "--project=P", "--every=9"), "", "interval_s: Leave it out"),
        (("connect", "otlp", "New", "--project=P", "--pool=Q"), "", "pool: Leave it out"),
        (("connect", "focus_csv", "New", "--project=P"), "", "project: Leave it out"),
        (("token", "Langfuse"), "", "does not push"),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(
    langfuse, monkeypatch, arguments, typed, sentence
):
    before = list(Source.objects.values("name", "interval_s", "config"))
    records = Audit.objects.count()
    with pytest.raises(CommandError, match=sentence):
        said(monkeypatch, "source", *arguments, typed=typed)
    assert list(Source.objects.values("name", "interval_s", "config")) == before
    assert Audit.objects.count() == records
    assert source_secrets.opened(Source.objects.get())["secret_key"] == SECRET
