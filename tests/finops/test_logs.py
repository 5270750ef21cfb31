"""What a log line tells of an exception, and what it keeps to itself."""

import json
import logging
import logging.config

import pytest

from finops import logs


@pytest.fixture
def json_handler(monkeypatch):
    """The handler that production logs through, without replacing the test run's own."""
    made = {}
    monkeypatch.setattr(logging.config, "dictConfig", made.update)
    monkeypatch.setattr(logs.structlog, "configure", lambda **_: None)
    logs.configure_logging("json", "INFO")
    formatter = dict(made["formatters"]["structured"])
    return formatter.pop("()")(**formatter)


def failing(admin_key):
    raise ValueError(f"no model loads with a key of {len(admin_key)} signs")


def test_traceback_tells_where_and_no_local_variable(json_handler):
    try:
        failing("hunter2-hunter2")
    except ValueError as error:
        raised = (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, "it failed", (), raised)

    said = json_handler.format(record)

    (told,) = json.loads(said)["exception"]
    assert told["exc_type"] == "ValueError"
    assert told["frames"][-1]["name"] == "failing"
    assert "hunter2" not in said


def test_addresses_asked_are_not_logged():
    """A query may hold what is nobody's business, and a busy day has a million of them."""
    assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)
    assert logging.getLogger("httpx").isEnabledFor(logging.WARNING)
