import pytest

from finops.environment import BadEnvironment, read

NEEDED = {
    "BREAKEVEN_DATABASE_URL": "postgresql://u:p@db/breakeven",
    "BREAKEVEN_BROKER_URL": "amqp://u:p@mq//",
    "BREAKEVEN_CACHE_URL": "redis://cache/0",
    "BREAKEVEN_SECRET_KEY": "s" * 40,
    "BREAKEVEN_ENCRYPTION_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    "BREAKEVEN_PRIVACY_KEY": "p" * 40,
}


def sentence(**changes):
    with pytest.raises(BadEnvironment) as refused:
        read({**NEEDED, **changes})
    return str(refused.value)


def test_defaults_are_safe():
    values = read(NEEDED)
    assert (values["DEBUG"], values["HTTPS"], values["TIME_ZONE"]) == (False, True, "UTC")


def test_unknown_variable_stops_the_start_and_names_its_neighbour():
    assert sentence(BREAKEVEN_TIMEZONE="UTC") == (
        "BREAKEVEN_TIMEZONE is not a setting of Breakeven; did you mean BREAKEVEN_TIME_ZONE?"
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("TIME_ZONE", "Berlin", "use an IANA name such as Europe/Berlin"),
        ("DEBUG", "maybe", "use 1 or 0"),
        ("SPAN_DAYS", "٣", "use a whole number from 1"),
        ("CURRENCY", "dollars", "use an ISO 4217 code"),
        ("DATABASE_URL", "sqlite:///x", "use a URL that starts with postgresql://"),
        ("SECRET_KEY", "short", "use at least 32 characters"),
    ],
)
def test_bad_value_is_one_sentence_with_the_fix(name, value, words):
    assert words in sentence(**{f"BREAKEVEN_{name}": value})


def test_secret_is_never_shown():
    assert "hunter2" not in sentence(BREAKEVEN_SECRET_KEY="hunter2")


def test_secret_may_come_from_a_file_but_not_from_both(tmp_path):
    file = tmp_path / "key"
    file.write_text("k" * 40 + "\n")
    given = {key: value for key, value in NEEDED.items() if key != "BREAKEVEN_SECRET_KEY"}
    assert read({**given, "BREAKEVEN_SECRET_KEY_FILE": str(file)})["SECRET_KEY"] == "k" * 40
    assert "keep one" in sentence(BREAKEVEN_SECRET_KEY_FILE=str(file))
    missing = {**given, "BREAKEVEN_SECRET_KEY_FILE": str(tmp_path / "none")}
    with pytest.raises(BadEnvironment, match="cannot be read"):
        read(missing)


def test_missing_variable_says_what_it_is_for():
    without = {key: value for key, value in NEEDED.items() if key != "BREAKEVEN_PRIVACY_KEY"}
    with pytest.raises(BadEnvironment, match="Key of the salted prompt hashes"):
        read(without)
