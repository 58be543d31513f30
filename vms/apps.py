from django.apps import AppConfig


class VmsConfig(AppConfig):
    name = "vms"

    def ready(self) -> None:
        from kvmweb.jobs.subjects import register
        from vms.spec_from_rows import KIND

        register(KIND)
