from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "kvmweb.api"
    label = "api"
