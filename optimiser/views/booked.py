"""The ledger's entries of one change: what was promised beside what came of it.

They are read by the ledger's own query and drawn as on its page, so that the two agree.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from finops.queries import savings
from finops.queries.filters import today
from finops.templatetags import words
from finops.views.page import View
from finops.views.savings_tables import entry_table
from finops.views.tables import Table
from optimiser.booking import ESTIMATE_FOR, ref
from optimiser.models import Change


def booked_table(view: View, change: Change) -> Table | None:
    """None while nothing is booked. The newest entries; the savings page has all of them."""
    first = words.local(change.created_at).date()
    last = today() + ESTIMATE_FOR + timedelta(days=2)
    filters = replace(view.filters, start=first, end=last, project_ids=(change.target.project_id,))
    rows = savings.entries(filters, change=ref(change)).rows
    if not rows:
        return None
    return replace(entry_table(rows), id="booked", caption="Booked in the ledger")
