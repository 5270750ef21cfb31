"""What waits for this reader: a small part that other pages compose in the browser."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from optimiser.queries import changes as queries

from . import labels


@login_required
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """Nothing at all when nothing waits: the empty place is taken away."""
    waits = queries.waiting(request.user)
    if waits.is_empty:
        return HttpResponse("")
    return render(
        request,
        "optimiser/waiting.html",
        {
            "to_decide": [
                (change, labels.effect_line(change.effect)) for change in waits.to_decide
            ],
            "objectives": waits.objectives,
            "rolling_out": waits.rolling_out,
            "drifted": [(target, labels.LIVE[target.live_state]) for target in waits.drifted],
        },
    )
