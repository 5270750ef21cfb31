"""Joins the packages' pages by string, so that the front door imports no room above it."""

from django.contrib import admin
from django.urls import include, path

from finops import health

urlpatterns = [
    path("livez", health.livez, name="livez"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
    path("admin/", admin.site.urls),
    path("", include("ingest.urls")),
    path("", include("finops.page_urls")),
]
