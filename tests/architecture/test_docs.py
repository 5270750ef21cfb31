"""The documents say what the code says: settings, sources, words of `./run`, files, links."""

import re
import shutil
import subprocess
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from django.core.management import get_commands

import finops
from finops import environment
from finops.stack import throwaway
from ingest.records import MetricRecord, SeriesKey
from ingest.sources import REGISTRY
from ingest.sources.base import BadConfig, Page, PullSource
from tests.architecture.settings_table import table

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.glob("**/*.md")])

GLOSSARY = """
    Source Pull Delivery Reject Span Trace Score Sample Fact Rollup Lever Evidence Recommendation
    Change Approval Target Snapshot Rollout Verdict Drift Project Unpriced
    Bill~line Price~book Cost~line Unit~cost Plan~hash Ledger~entry Realised~saving Estimate
"""
"""The words of the house; `~` is a space."""

OTHERS_ADDRESSES = re.compile(
    "|".join(
        [
            r"/(?:ro" r"ot|wo" r"rk)/",  # in halves, so that this file does not find itself
            r"/ho" r"me/[a-z]",
            r"py" r"pi\.org|pythonho" r"sted|registry\.np" r"mjs|/opt/py" r"pi",
        ]
    )
)
NOT_OURS = ("static/vendor/",)


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def section(text, heading):
    """From the heading that holds this text to the next one of its level."""
    found = re.search(rf"^(#+) [^\n]*{re.escape(heading)}[^\n]*\n", text, re.MULTILINE)
    if found is None:
        return None
    rest = text[found.end() :]
    following = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: following.start()] if following else rest


def words_of_run():
    """The words in the launcher's own list."""
    line = re.search(r"^(up \| [^)]+)\)", read("run"), re.MULTILINE)[1]
    return set(line.split(" | "))


# Settings


def test_settings_table_is_the_codes():
    assert table() in read("docs/settings.md"), (
        "docs/settings.md is stale. Its table must be:\n\n"
        f"{table()}\n\n(python -m tests.architecture.settings_table prints it)"
    )


def test_launchers_own_variables_are_explained():
    text = read("docs/settings.md")
    for name in environment.LAUNCHER_ONLY:
        assert f"`{environment.PREFIX}{name}`" in text, name


def test_no_setting_is_documented_that_does_not_exist():
    known = {variable.name for variable in environment.VARIABLES} | environment.LAUNCHER_ONLY
    known |= {"VERSION"}  # docker compose's own
    for page in PAGES:
        for name in re.findall(r"`BREAKEVEN_([A-Z_]+[A-Z])`", page.read_text()):
            assert name in known or name.removesuffix("_FILE") in known, f"{page.name}: {name}"


# Sources


@pytest.mark.parametrize("kind", sorted(REGISTRY))
def test_source_is_documented_with_each_of_its_settings(kind):
    adapter = REGISTRY[kind]
    said = section(read("docs/sources.md"), f"{adapter.label} (`{kind}`)")
    assert said, f"docs/sources.md needs a heading '{adapter.label} (`{kind}`)'"
    if (ROOT / "docs" / "sources" / f"{kind}.md").exists():
        said += read(f"docs/sources/{kind}.md")
    for setting in adapter.settings:
        assert f"`{setting.name}`" in said, f"{kind}: {setting.name}"
    for word in (getattr(adapter, "path", ""), getattr(adapter, "scope", "")):
        assert word in said


@pytest.fixture
def meter(settings):
    """A power meter on the loopback: the address of one that works, and of one that is none."""

    class Meter(BaseHTTPRequestHandler):
        def do_GET(self):
            body = b'{"watts": 350}' if self.path == "/meter" else b"[]"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            """Quiet."""

    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    with HTTPServer(("127.0.0.1", 0), Meter) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_worked_example_of_a_source_works(meter):
    """The example is run: it must be a source, and fetch what it says it fetches."""
    example = re.search(r"```python\n(.*?)```", read("docs/adding-a-source.md"), re.DOTALL)[1]
    names = {"__name__": "power_meter"}
    exec(compile(example, "docs/adding-a-source.md", "exec"), names)
    adapter = names["PowerMeter"]()
    assert isinstance(adapter, PullSource)
    assert adapter.kind not in REGISTRY, "it is an example of one that is not there"
    for config in ({}, {"url": "ftp://meter"}, {"url": meter, "watts": 1}):
        with pytest.raises(BadConfig):
            adapter.check_config(config)

    def fetch(path):
        return list(adapter.fetch(adapter.check_config({"url": meter + path}), {}, NOON))

    assert fetch("/meter") == [
        Page([MetricRecord(SeriesKey("rack_power", "gauge", "W"), NOON, 350)])
    ]
    (page,) = fetch("/none")
    assert [(reject.reason, reject.field) for reject in page.rejects] == [("no_watts", "watts")]


# The launcher and the benches


def test_every_word_of_run_is_explained():
    text = read("docs/running.md")
    for word in words_of_run():
        assert f"`./run {word}" in text, word


def test_no_word_of_run_is_documented_that_it_does_not_know():
    known = words_of_run() | {"alone"}
    for page in PAGES:
        for word in re.findall(r"\./run ([a-z]+)", page.read_text()):
            assert word in known, f"{page.name}: ./run {word}"


def test_every_bench_is_explained_and_no_other():
    told = set(re.findall(r"^## `([\w-]+)`", read("docs/benches.md"), re.MULTILINE))
    assert told == throwaway.benches().keys()


def test_management_commands_that_are_named_exist():
    known = get_commands()
    for page in PAGES:
        for name in re.findall(r"(?:manage\.py|\./run manage) ([a-z_]+)", page.read_text()):
            assert name in known, f"{page.name}: manage.py {name}"


# Words, files and links


def test_glossary_has_the_words_of_the_house():
    said = read("docs/glossary.md").lower()
    for word in GLOSSARY.replace("~", "\0").split():
        term = word.replace("\0", " ").lower()
        assert f"**{term}" in said, term


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_exist(page):
    top = "finops|ingest|optimiser|gpu_probe|tests|docs|static|templates|requirements"
    for path in re.findall(rf"`((?:{top})/[\w/.-]*)`", page.read_text()):
        assert (ROOT / path).exists(), f"{page.relative_to(ROOT)} names {path}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?://)([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_every_page_can_be_reached_from_the_readme():
    text = read("README.md")
    for page in DOCS.glob("*.md"):
        assert f"(docs/{page.name})" in text, page.name


def test_version_is_one_version():
    version = re.search(r'^version = "(.+)"', read("pyproject.toml"), re.MULTILINE)[1]
    assert version == finops.VERSION
    assert re.search(r"^## .*\b" + re.escape(version) + r"\b", read("CHANGELOG.md"), re.MULTILINE)
    assert f"breakeven:${{BREAKEVEN_VERSION:-{version}}}" in read("docker-compose.yml")


def test_nothing_committed_names_somebodys_machine():
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    found = []
    for name in filter(None, listed.decode().split("\0")):
        file = ROOT / name
        if name.startswith(NOT_OURS) or not file.is_file() or file.is_symlink():
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture or an archive
        found += [f"{name}: {hit[0]}" for hit in OTHERS_ADDRESSES.finditer(text)]
    assert found == []
