from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class UiConfig(AppConfig):
    name = "kvmweb.ui"
    label = "ui"


class KvmwebAdminConfig(AdminConfig):
    default_site = "kvmweb.ui.admin_site.KvmwebAdminSite"
