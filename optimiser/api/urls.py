"""Addresses of the API. Knows paths and names; refuses anything else."""

from django.urls import path, re_path

from . import changes, recommendations, targets

app_name = "optimiser-api"

# Digits that fit the column: a larger number is no address, not an error of the database.
PK = r"(?P<pk>[0-9]{1,9})"

urlpatterns = [
    path("v1/servers", targets.Servers.as_view(), name="servers"),
    path("v1/targets", targets.Targets.as_view(), name="targets"),
    re_path(rf"^v1/targets/{PK}$", targets.OneTarget.as_view(), name="target"),
    path("v1/calibrations", targets.Calibrations.as_view(), name="calibrations"),
    re_path(rf"^v1/calibrations/{PK}$", targets.OneCalibration.as_view(), name="calibration"),
    path("v1/recommendations", recommendations.Recommendations.as_view(), name="recommendations"),
    re_path(
        rf"^v1/recommendations/{PK}$",
        recommendations.OneRecommendation.as_view(),
        name="recommendation",
    ),
    re_path(
        rf"^v1/recommendations/{PK}/propose$", recommendations.Propose.as_view(), name="propose"
    ),
    re_path(
        rf"^v1/recommendations/{PK}/dismiss$", recommendations.Dismiss.as_view(), name="dismiss"
    ),
    path("v1/changes", changes.Changes.as_view(), name="changes"),
    re_path(rf"^v1/changes/{PK}$", changes.OneChange.as_view(), name="change"),
    re_path(rf"^v1/changes/{PK}/approve$", changes.Approve.as_view(), name="approve"),
    re_path(rf"^v1/changes/{PK}/reject$", changes.Reject.as_view(), name="reject"),
    re_path(rf"^v1/changes/{PK}/ask$", changes.Ask.as_view(), name="ask"),
    re_path(rf"^v1/changes/{PK}/withdraw$", changes.Withdraw.as_view(), name="withdraw"),
    re_path(rf"^v1/changes/{PK}/rollback$", changes.RollBack.as_view(), name="rollback"),
]
