"""Where machines push to."""

from django.urls import path

from ingest import langfuse_views, views

app_name = "ingest"

urlpatterns = [
    path("v1/traces", views.traces, name="traces"),
    path("v1/logs", views.logs, name="logs"),
    path("v1/gpu-samples", views.gpu_samples, name="gpu-samples"),
    path("api/public/otel/v1/traces", views.traces, name="langfuse-traces"),
    path("api/public/ingestion", langfuse_views.ingestion, name="langfuse-ingestion"),
    path("api/public/scores", langfuse_views.scores, name="langfuse-scores"),
    path("api/public/projects", langfuse_views.projects, name="langfuse-projects"),
    path("api/public/health", langfuse_views.health, name="langfuse-health"),
]
