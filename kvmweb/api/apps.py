from django.apps import AppConfig
from django.contrib.staticfiles.apps import StaticFilesConfig


class ApiConfig(AppConfig):
    name = "kvmweb.api"
    label = "api"


class ShippedFilesConfig(StaticFilesConfig):
    """Leaves out what packages bring and the panel does not use: Redoc, DRF's browsable pages."""

    ignore_patterns = [*StaticFilesConfig.ignore_patterns, "redoc", "rest_framework", "*.map"]
