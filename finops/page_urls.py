"""Addresses of the pages. Knows paths and names; refuses anything else."""

from django.urls import path, re_path

from finops.views import (
    connecting,
    costs,
    delivery_changes,
    gpus,
    hosts,
    overview,
    people,
    prices,
    requests,
    savings,
    settings,
    sources,
    sources_backfill,
    sources_changing,
    sources_deliveries,
    sources_trying,
)

app_name = "finops"

DAY = r"(?P<day>\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01]))"
KEY = r"(?P<key>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"

urlpatterns = [
    path("", overview.show, name="overview"),
    path("costs", costs.show, name="costs"),
    path("costs.csv", costs.as_csv, name="costs-csv"),
    path("requests", requests.show, name="requests"),
    path("requests.csv", requests.as_csv, name="requests-csv"),
    re_path(rf"^requests/(?P<project>\d{{1,9}})/{DAY}/{KEY}$", requests.one, name="span"),
    path("gpus", gpus.show, name="gpus"),
    path("gpus.csv", gpus.as_csv, name="gpus-csv"),
    path("hosts", hosts.show, name="hosts"),
    path("hosts.csv", hosts.as_csv, name="hosts-csv"),
    path("savings", savings.show, name="savings"),
    path("savings.csv", savings.as_csv, name="savings-csv"),
    path("sources", sources.show, name="sources"),
    path("sources/new", connecting.new, name="source-new"),
    path("sources/new/test", sources_trying.new, name="source-new-test"),
    path("sources/<int:pk>", sources.detail, name="source"),
    path("sources/<int:pk>/upload", connecting.upload, name="source-upload"),
    path("sources/<int:pk>/tokens", connecting.issue, name="source-token"),
    path("sources/<int:pk>/switch", connecting.switch, name="source-switch"),
    path("sources/<int:pk>/test", sources_trying.connected, name="source-test"),
    path("sources/<int:pk>/edit", sources_changing.edit, name="source-edit"),
    path("sources/<int:pk>/edit/test", sources_changing.test, name="source-edit-test"),
    path("sources/<int:pk>/past", sources_backfill.show, name="source-past"),
    path("sources/<int:pk>/past/<int:job>/stop", sources_backfill.stop, name="source-past-stop"),
    path("deliveries/<int:pk>", sources_deliveries.show, name="delivery"),
    path("deliveries/<int:pk>/changes", delivery_changes.show, name="delivery-changes"),
    path("deliveries/<int:pk>/changes.csv", delivery_changes.as_csv, name="delivery-changes-csv"),
    path("prices", prices.show, name="prices"),
    path("settings/tokens", settings.tokens, name="tokens"),
    path("settings/tokens/<str:pk>/revoke", settings.revoke, name="token-revoke"),
    path("settings/push-tokens/<str:pk>/revoke", settings.revoke_push, name="push-token-revoke"),
    path("settings/audit", settings.audit, name="audit"),
    path("sign-in", people.sign_in, name="sign-in"),
    path("sign-out", people.sign_out, name="sign-out"),
]
