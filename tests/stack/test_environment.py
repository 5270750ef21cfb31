import pytest

from finops import environment as settings
from finops.stack import environment, keys
from finops.stack.postgres import Cluster
from finops.stack.valkey import Valkey


@pytest.fixture
def of(home):
    keys.make(home, has_database=False)
    return lambda caller, **options: environment.of_application(
        home, Cluster.of(home), Valkey.of(home), caller=caller, **options
    )


def test_application_accepts_what_it_is_told(of, home):
    told = of({"PATH": "/bin", "BREAKEVEN_CURRENCY": "EUR"}, sample_data=True)
    understood = settings.read(told)
    assert understood["SECRET_KEY"] == keys.read(home, "secret-key")
    assert understood["CURRENCY"] == "EUR"
    assert understood["SAMPLE_DATA"] is True
    assert understood["HTTPS"] is False
    assert understood["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1", "[::1]"]


def test_no_secret_is_in_the_environment_but_the_address_of_valkey(of, home):
    told = of({"PATH": "/bin"})
    holding = {
        name
        for name, value in told.items()
        for file in home.keys.iterdir()
        if file.read_text() in value
    }
    assert holding == {"BREAKEVEN_BROKER_URL", "BREAKEVEN_CACHE_URL"}


def test_launcher_keeps_its_own_variables_to_itself(of):
    told = of({"PATH": "/bin", "BREAKEVEN_HOME": "/x", "BREAKEVEN_PORT": "1"})
    assert not {"BREAKEVEN_HOME", "BREAKEVEN_PORT"} & set(told)


def test_database_of_the_caller_is_never_used(of):
    caller = {"PATH": "/bin", "BREAKEVEN_DATABASE_URL": "postgresql://production/books"}
    assert "production" not in of(caller)["BREAKEVEN_DATABASE_URL"]
    assert environment.overruled(caller) == ["BREAKEVEN_DATABASE_URL"]


def test_processes_talk_to_each_other_past_any_proxy(of):
    told = of({"PATH": "/bin", "no_proxy": "intra.example"})
    assert told["no_proxy"] == "intra.example,127.0.0.1,localhost"
    assert told["NO_PROXY"] == "127.0.0.1,localhost"


def test_real_books_are_not_marked_as_sample(of):
    assert "BREAKEVEN_SAMPLE_DATA" not in of({"PATH": "/bin"})
