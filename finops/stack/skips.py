"""A pytest plugin: what was skipped, counted by reason, in plain sight at the end.

Knows pytest's reports. Refuses to judge a skip: tests/conftest.py decides what must not be missing.
"""

from __future__ import annotations

from collections import Counter

import pytest


def reasons(reporter: pytest.TerminalReporter) -> Counter[str]:
    found: Counter[str] = Counter()
    for report in reporter.stats.get("skipped", []):
        where = report.longrepr
        said = where[2] if isinstance(where, tuple) else str(where)
        found[said.removeprefix("Skipped: ")] += 1
    return found


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counted = reasons(terminalreporter)
    if not counted:
        return
    terminalreporter.section(f"{counted.total()} skipped, by reason")
    for reason, count in counted.most_common():
        terminalreporter.write_line(f"{count:>5}  {reason}")
