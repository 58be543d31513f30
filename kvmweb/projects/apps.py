from django.apps import AppConfig


class ProjectsConfig(AppConfig):
    name = "kvmweb.projects"
    label = "projects"
