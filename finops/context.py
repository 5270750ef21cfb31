"""What every template knows of the installation."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from finops import VERSION


def installation(request: HttpRequest) -> dict[str, Any]:
    return {
        "is_sample_data": settings.SAMPLE_DATA,
        "accounting_time_zone": settings.ACCOUNTING_TIME_ZONE,
        "version": VERSION,
    }
