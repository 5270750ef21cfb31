"""The script that prepares the production database, on a real PostgreSQL."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg
import pytest

from finops.stack import postgres
from finops.stack.home import Home
from finops.stack.postgres import STOP_SIGNAL, Cluster, plain_environment
from finops.stack.processes import start
from tests.stack.conftest import until

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "production" / "postgres-role.sh"
PASSWORD = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def cluster():
    folder = Path(tempfile.mkdtemp(prefix="bk-"))
    folder.chmod(0o755)
    home = Home(folder / "test")
    home.create()
    made = Cluster.of(home, durable=False)
    made.prepare()
    process = start(
        made.command,
        environment=plain_environment(),
        folder=Path("/"),
        output=subprocess.DEVNULL,
        account=made.account,
        last_signal=STOP_SIGNAL,
    )
    try:
        until(made.is_ready)
        yield made
    finally:
        process.send_signal(STOP_SIGNAL)
        process.wait(20)
        made.remove()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def prepared(cluster, tmp_path_factory):
    secrets = tmp_path_factory.mktemp("secrets")
    (secrets / "database_url").write_text(
        f"postgresql://breakeven:{PASSWORD}@postgres:5432/breakeven\n"
    )
    script = SCRIPT.read_text().replace("/run/secrets", str(secrets))
    subprocess.run(
        ["bash", "-c", script],
        env={
            **plain_environment(),
            "PATH": f"{cluster.binaries}:{postgres.plain_environment()['PATH']}",
            "PGHOST": str(cluster.sockets),
            "POSTGRES_USER": "postgres",
        },
        check=True,
    )
    return cluster


def connect(cluster, user):
    return psycopg.connect(
        host=str(cluster.sockets), user=user, dbname="breakeven", autocommit=True
    )


def test_application_role_can_log_in_and_nothing_more(prepared):
    with connect(prepared, "postgres") as connection:
        role = connection.execute(
            "SELECT rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication,"
            " rolbypassrls, rolpassword LIKE 'SCRAM-SHA-256$%'"
            " FROM pg_authid WHERE rolname = 'breakeven'"
        ).fetchone()
    assert role == (True, False, False, False, False, False, True)


def test_application_owns_its_database_and_may_make_tables_there(prepared):
    with connect(prepared, "breakeven") as connection:
        connection.execute("CREATE TABLE parts (day date) PARTITION BY RANGE (day)")
        connection.execute(
            "CREATE TABLE one PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2026-01-02')"
        )
        owner = connection.execute(
            "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'breakeven'"
        ).fetchone()
        connection.execute("DROP TABLE parts")
    assert owner == ("breakeven",)


def test_slow_statements_can_be_looked_up(prepared):
    with connect(prepared, "breakeven") as connection:
        assert connection.execute("SELECT count(*) > 0 FROM pg_stat_statements").fetchone() == (
            True,
        )


def test_password_is_the_one_in_the_url(prepared):
    with connect(prepared, "postgres") as connection:
        stored = connection.execute(
            "SELECT rolpassword FROM pg_authid WHERE rolname = 'breakeven'"
        ).fetchone()[0]
    assert scram_accepts(stored, PASSWORD)
    assert not scram_accepts(stored, PASSWORD[::-1])


def scram_accepts(stored, password):
    """Whether `SCRAM-SHA-256$rounds:salt$stored key:server key` was made from this password."""
    import base64
    import hashlib
    import hmac

    _, parameters, keys = stored.split("$")
    rounds, salt = parameters.split(":")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(rounds))
    client = hmac.digest(salted, b"Client Key", "sha256")
    return hashlib.sha256(client).digest() == base64.b64decode(keys.split(":")[0])
