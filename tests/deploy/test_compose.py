"""The production file: it names what the code needs, and gives nobody more than it needs."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from finops import environment

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"
PRODUCTION = ROOT / "docs" / "production"
COMPOSE = yaml.safe_load(FILE.read_text())
SERVICES = COMPOSE["services"]
OURS = {name for name, service in SERVICES.items() if "build" in service}
ONE_OFF = {"migrate"}
FOR_COMPOSE_ALONE = {"BREAKEVEN_VERSION", "BREAKEVEN_PORT"}
"""Filled in by docker compose itself; no process sees them."""

KNOWN = {variable.name for variable in environment.VARIABLES}
REQUIRED = {variable.name for variable in environment.VARIABLES if variable.default is None}
SECRET = {variable.name for variable in environment.VARIABLES if variable.secret}


def plain(text):
    """What docker compose makes of `${NAME:-default}` when nothing is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(text))


def names_set(service):
    """The settings a service is given, whether as a value or as a file."""
    given = [name.removeprefix("BREAKEVEN_") for name in service["environment"]]
    return {name.removesuffix("_FILE") for name in given}


def secrets_of(service):
    return {one if isinstance(one, str) else one["source"] for one in service.get("secrets", ())}


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    """What the operator's one command makes."""
    folder = tmp_path_factory.mktemp("production") / "secrets"
    made = subprocess.run(
        ["sh", PRODUCTION / "make-secrets.sh", folder], check=True, capture_output=True, text=True
    )
    assert made.stdout.startswith(f"Made {folder}.")
    return folder


def test_breakevens_own_services_are_the_ones_the_design_names():
    assert {"migrate", "web", "worker", "beat", "sweeper", "control"} == OURS
    others = {"postgres", "rabbitmq", "valkey", "prometheus", "triton"}
    assert SERVICES.keys() - OURS == others


@pytest.mark.parametrize("name", sorted(OURS))
def test_environment_has_every_required_setting_and_no_unknown_one(name):
    given = names_set(SERVICES[name])
    assert sorted(given - KNOWN) == [], "finops/environment.py does not know these"
    assert sorted(REQUIRED - given) == [], "Breakeven does not start without these"


@pytest.mark.parametrize("name", sorted(OURS))
def test_secret_settings_come_from_files_that_are_mounted(name):
    service = SERVICES[name]
    for variable in names_set(service) & SECRET:
        file = service["environment"][f"BREAKEVEN_{variable}_FILE"]
        assert file == f"/run/secrets/{variable.lower()}"
        assert variable.lower() in secrets_of(service)
    assert secrets_of(service) == {name.lower() for name in names_set(service) & SECRET}


@pytest.mark.parametrize("name", sorted(OURS))
def test_application_accepts_what_the_file_gives_it(name, secrets):
    """The very check of a starting process, on the very files `make-secrets.sh` makes."""
    given = {
        variable: plain(value).replace("/run/secrets", str(secrets))
        for variable, value in SERVICES[name]["environment"].items()
    }
    values = environment.read(given)
    assert values["HTTPS"] is True
    assert values["DEBUG"] is False
    assert values["SAMPLE_DATA"] is False
    assert "127.0.0.1" in values["ALLOWED_HOSTS"], "the health check asks there"


def manage(secrets, *arguments):
    """manage.py as it would run in the web server's container."""
    given = {
        variable: plain(value).replace("/run/secrets", str(secrets))
        for variable, value in SERVICES["web"]["environment"].items()
    }
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("BREAKEVEN_")
    }
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env={**inherited, **given},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_django_finds_nothing_to_object_to_in_a_deployment(secrets):
    code, _, said = manage(secrets, "check", "--deploy", "--fail-level=WARNING")
    assert (code, said) == (0, "")


def test_probes_are_answered_over_plain_http_and_people_are_not(secrets):
    ask = """
from django.test import Client
for host, path in (("127.0.0.1", "/livez"), ("web", "/metrics"), ("localhost", "/sign-in")):
    print(path, Client().get(path, headers={"host": host}).status_code)
"""
    code, out, _ = manage(secrets, "shell", "--verbosity=0", "--command", ask)
    answers = [line for line in out.splitlines() if line.startswith("/")]
    assert (code, answers) == (0, ["/livez 200", "/metrics 401", "/sign-in 301"])


def test_every_secret_is_declared_used_and_made(secrets):
    declared = COMPOSE["secrets"]
    used = set().union(*(secrets_of(service) for service in SERVICES.values()))
    assert used == declared.keys()
    assert {file.name for file in secrets.iterdir()} == declared.keys()
    for name, secret in declared.items():
        assert secret == {"file": f"./secrets/{name}"}
        assert (secrets / name).read_text().strip()


def test_secrets_are_closed_to_everybody_but_their_owner(secrets):
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    # A container reads its mount under an account of its own.
    assert {stat.S_IMODE(file.stat().st_mode) for file in secrets.iterdir()} == {0o644}


def test_secrets_that_exist_are_not_made_again(secrets):
    before = {file.name: file.read_bytes() for file in secrets.iterdir()}
    again = subprocess.run(
        ["sh", PRODUCTION / "make-secrets.sh", secrets],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (again.returncode, again.stdout) == (1, "")
    assert "left alone" in again.stderr
    assert before == {file.name: file.read_bytes() for file in secrets.iterdir()}


def test_passwords_in_urls_are_the_servers_own(secrets):
    def password(url):
        return re.fullmatch(r"\w+://\w*:(\w{64})@.+\n", (secrets / url).read_text())[1]

    broker, cache = password("broker_url"), password("cache_url")
    assert (secrets / "rabbitmq_user").read_text().endswith(f"default_pass = {broker}\n")
    assert (secrets / "valkey_password").read_text() == f"requirepass {cache}\n"
    assert len({broker, cache, password("database_url")}) == 3


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_service_is_confined(name):
    service = SERVICES[name]
    uid, _, gid = service["user"].partition(":")
    assert int(uid) > 0, "a number, so that nobody is root by a lost name"
    assert int(gid) > 0
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert not {"privileged", "cap_add", "devices", "network_mode", "pid", "ipc"} & service.keys()
    assert {"memory", "pids"} <= service["deploy"]["resources"]["limits"].keys()


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_service_says_when_it_is_well_and_comes_back(name):
    service = SERVICES[name]
    if name in ONE_OFF:
        assert service["restart"] == "no"
        assert service["healthcheck"] == {"disable": True}
        return
    assert service["restart"] == "unless-stopped"
    if name == "web":
        assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()
        return
    check = service["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert {"interval", "timeout", "retries"} <= check.keys()


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_image_is_pinned_to_a_version(name):
    image = plain(SERVICES[name]["image"])
    tag = image.rpartition(":")[2]
    assert re.match(r"v?\d+\.\d+", tag), image


def test_triton_is_one_without_the_known_holes():
    year, month = re.search(r"tritonserver:(\d\d)\.(\d\d)", SERVICES["triton"]["image"]).groups()
    assert (int(year), int(month)) >= (25, 7)
    command = " ".join(SERVICES["triton"]["command"])
    assert "--model-control-mode=explicit" in command
    for option in ("--http-restricted-api=", "--grpc-restricted-protocol="):
        assert f'{option}"$$guarded"' in command
    assert "guarded=model-repository,shared-memory,trace,logging:admin-key=$$key" in command


def test_web_alone_is_published_and_on_loopback():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"web": ["127.0.0.1:${BREAKEVEN_PORT:-8000}:8000"]}


def test_data_services_cannot_reach_the_outside():
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    for name, service in SERVICES.items():
        expected = ["inside", "outside"] if name in OURS else ["inside"]
        assert service["networks"] == expected, name


def test_breakeven_waits_for_migrated_tables():
    for name in OURS - ONE_OFF:
        waits = SERVICES[name]["depends_on"]
        assert waits["migrate"] == {"condition": "service_completed_successfully"}
        for other in ("postgres", "rabbitmq", "valkey"):
            assert waits[other] == {"condition": "service_healthy"}


def test_mounted_files_are_there_and_volumes_declared():
    volumes = [one for service in SERVICES.values() for one in service.get("volumes", ())]
    named = {one.partition(":")[0] for one in volumes if not one.startswith((".", "$"))}
    assert named == COMPOSE["volumes"].keys()
    files = [one.split(":") for one in volumes if one.startswith(".")]
    assert sorted(file for file, _, _ in files) == [
        f"./docs/production/{name}"
        for name in ("postgres-role.sh", "prometheus.yml", "rabbitmq.conf")
    ]
    assert all((ROOT / file).is_file() and mode == "ro" for file, _, mode in files)


def test_values_taken_from_outside_are_settings():
    asked = set(re.findall(r"\$\{(BREAKEVEN_\w+)", FILE.read_text())) - FOR_COMPOSE_ALONE
    assert {name.removeprefix("BREAKEVEN_") for name in asked} <= KNOWN - SECRET


def test_docker_compose_accepts_the_file():
    command = next(
        (
            given
            for given in (["docker", "compose"], ["docker-compose"])
            if shutil.which(given[0])
            and subprocess.run([*given, "version"], capture_output=True, check=False).returncode
            == 0
        ),
        None,
    )
    # Not one of the things BREAKEVEN_REQUIRE may demand: the checks above need no client.
    if command is None:
        pytest.skip("docker compose is not installed here")
    done = subprocess.run(
        [*command, "--file", FILE, "--profile", "gpu", "config", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
