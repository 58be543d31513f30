from django.apps import AppConfig


class NetworksConfig(AppConfig):
    name = "networks"

    def ready(self) -> None:
        from kvmweb.jobs.subjects import register
        from networks import panel
        from networks.spec_from_rows import KIND

        register(KIND)
        register(panel.KIND)
