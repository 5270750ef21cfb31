"""Addresses of the pages. Knows paths and names; refuses anything else."""

from django.urls import path

from optimiser.views import changes, deciding, recommendations, rollouts, targets, waiting

app_name = "optimiser"

urlpatterns = [
    path("waiting", waiting.show, name="waiting"),
    path("recommendations", recommendations.show, name="recommendations"),
    path("recommendations/<int:pk>", recommendations.detail, name="recommendation"),
    path("recommendations/<int:pk>/propose", recommendations.propose, name="propose"),
    path("recommendations/<int:pk>/dismiss", recommendations.dismiss, name="dismiss"),
    path("recommendations/<int:pk>/calibrate", recommendations.calibrate, name="calibrate"),
    path("changes", changes.show, name="changes"),
    path("changes/<int:pk>", changes.detail, name="change"),
    path("changes/<int:pk>/rollout", rollouts.progress, name="rollout"),
    path("changes/<int:pk>/decide", deciding.decide, name="decide"),
    path("changes/<int:pk>/edit", deciding.edit, name="change-edit"),
    path("changes/<int:pk>/withdraw", deciding.withdraw, name="withdraw"),
    path("changes/<int:pk>/rollback", deciding.roll_back, name="rollback"),
    path("targets", targets.show, name="targets"),
    path("targets/new", targets.new_target, name="target-new"),
    path("targets/<int:pk>", targets.detail, name="target"),
    path("targets/<int:pk>/calibrate", targets.calibrate, name="target-calibrate"),
    path("servers/new", targets.new_server, name="server-new"),
]
