"""Where machines push to."""

from django.urls import path

from ingest import views

app_name = "ingest"

urlpatterns = [
    path("v1/traces", views.traces, name="traces"),
    path("v1/gpu-samples", views.gpu_samples, name="gpu-samples"),
]
