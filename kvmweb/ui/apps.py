from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.contrib.staticfiles.apps import StaticFilesConfig


class UiConfig(AppConfig):
    name = "kvmweb.ui"
    label = "ui"


class KvmwebAdminConfig(AdminConfig):
    default_site = "kvmweb.ui.admin_site.KvmwebAdminSite"


class ShippedFilesConfig(StaticFilesConfig):
    """Leaves out what packages bring and no page of ours loads: most of their bytes."""

    ignore_patterns = [
        *StaticFilesConfig.ignore_patterns,
        "django_htmx",
        "redoc",
        "rest_framework",
        "swagger-ui-es-bundle*",
        "swagger-ui-standalone*",
        "*.map",
    ]
