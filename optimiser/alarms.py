"""Tells the pipeline of alerts what became of targets and of changes: drift, and verdicts.

Knows what is worth somebody's look, and which page shows it. Refuses to write anything else, and
belongs at the end of the caller's transaction: alerts wait for the turn of the audit chain, and
whoever holds that must not wait for a row any more.
"""

from __future__ import annotations

from datetime import datetime

from finops.actions import alerting
from finops.actions.alerting import Finding
from finops.models import Alert
from finops.models.alerts import CRITICAL, DRIFT, INFO, VERDICT, WARNING
from finops.templatetags import words
from optimiser.models import Change, Rollout, Target

TITLE_LENGTH = 300
TARGETS_PAGE = "/targets"
"""In plain words, as below: a rollback must not depend on every page being sound."""


def drifted(target: Target, detail: str, now: datetime) -> None:
    """The live config is not the one that it is meant to be; the same again is the same alert."""
    change = _in_force(target)
    project = target.project
    alerting.raise_(
        Finding(
            kind=DRIFT,
            key=_key(target),
            severity=alerting.default_severity(DRIFT),
            title=f"{target} is not as it should be"[:TITLE_LENGTH],
            text=f"Its live config has moved: {detail}. Savings of it are not booked meanwhile."
            " Load the desired config again, or propose the live one as a change.",
            path=_page(change) if change else TARGETS_PAGE,
            project_id=project.pk,
            figures={
                "Target": str(target),
                "What differs": detail,
                "Last promoted change": change.title if change else "none",
            },
        ),
        now,
    )


def in_step(target: Target, now: datetime) -> None:
    """Asked often: where nothing drifted, it takes no turn."""
    key = _key(target)
    if Alert.objects.filter(kind=DRIFT, key=key, holds=True).exists():
        alerting.resolve(DRIFT, key, "The live config is the desired one again.", now)


def promoted(rollout: Rollout, now: datetime) -> None:
    _told(rollout, INFO, "is promoted", "The new config stays.", now)


def rolled_back(rollout: Rollout, now: datetime) -> None:
    """Bringing it back worked in the end; what somebody asked for is no warning."""
    alerting.resolve(VERDICT, _failed_key(rollout), "The old config is back.", now)
    severity = INFO if rollout.stop_asked_by_id else WARNING
    last = rollout.verdicts.order_by("-look").first()
    is_open = last is not None and last.outcome == "INCONCLUSIVE" and last.stops
    said = "was inconclusive and is rolled back" if is_open else "is rolled back"
    _told(rollout, severity, said, "The old config is back and was read back.", now)


def rollback_failed(rollout: Rollout, why: str, now: datetime) -> None:
    """The worst there is: neither the new config is wanted, nor the old one there."""
    change = rollout.change
    alerting.raise_(
        Finding(
            kind=VERDICT,
            key=_failed_key(rollout),
            severity=CRITICAL,
            title=f"Change {change.pk} cannot be rolled back: {change.title}"[:TITLE_LENGTH],
            text=f"The old config could not be loaded: {why} It is tried on and on. Look at the"
            " server; until then nothing else is changed on this target.",
            path=_page(change),
            project_id=rollout.target.project_id,
            figures=_figures(rollout),
        ),
        now,
    )


def _told(rollout: Rollout, severity: str, said: str, ending: str, now: datetime) -> None:
    change = rollout.change
    alerting.raise_(
        Finding(
            kind=VERDICT,
            key=f"rollout:{rollout.pk}:{rollout.state}",
            severity=severity,
            title=f"Change {change.pk} {said}: {change.title}"[:TITLE_LENGTH],
            text=f"{ending} {rollout.reason}".strip(),
            path=_page(change),
            project_id=rollout.target.project_id,
            figures=_figures(rollout),
        ),
        now,
    )


def _figures(rollout: Rollout) -> dict[str, str]:
    last = rollout.verdicts.order_by("-look").first()
    verdict = f"{last.outcome} at look {last.look} of {last.looks}" if last else "none"
    return {
        "Target": str(rollout.target),
        "Verdict": verdict,
        "Began": words.when_text(rollout.started_at) if rollout.started_at else "never",
    }


def _in_force(target: Target) -> Change | None:
    found = Rollout.objects.filter(target=target, state="promoted", change__state="promoted")
    newest = found.select_related("change").order_by("-finished_at").first()
    return newest.change if newest else None


def _key(target: Target) -> str:
    return f"target:{target.pk}"


def _failed_key(rollout: Rollout) -> str:
    return f"rollback:{rollout.pk}"


def _page(change: Change) -> str:
    return f"/changes/{change.pk}"
