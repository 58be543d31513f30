from django.apps import AppConfig


class VmsConfig(AppConfig):
    name = "vms"

    def ready(self) -> None:
        from kvmweb.jobs.subjects import register
        from vms import spec_from_images, spec_from_rows

        register(spec_from_rows.KIND)
        register(spec_from_images.KIND)
