"""Joins the packages' pages by string, so that the front door imports no room above it."""

from django.contrib import admin
from django.urls import include, path

from finops import health
from finops.views import api_docs

handler400 = "finops.problems.bad_request"
handler403 = "finops.problems.permission_denied"
handler404 = "finops.problems.page_not_found"
handler500 = "finops.problems.server_error"

urlpatterns = [
    path("livez", health.livez, name="livez"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
    path("admin/", admin.site.urls),
    path("api/docs", api_docs.show, name="api-docs"),
    path("api/", include("finops.api.urls")),
    path("api/", include("optimiser.api.urls")),
    path("", include("ingest.urls")),
    path("", include("finops.page_urls")),
    path("", include("optimiser.urls")),
]
