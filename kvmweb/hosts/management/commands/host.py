"""manage.py host enrol NAME --address A --output FILE: make a machine known and write its file."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from kvmweb.core.errors import KvmwebError
from kvmweb.hosts.enrol import HostFolders, enrol, write_configuration


class Command(BaseCommand):
    help = "Make a machine known as a host and write the configuration it starts with."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True)
        add = commands.add_parser("enrol", help="make a host known; doing it twice is harmless")
        add.add_argument("name", help="a-z, 0-9 and -")
        add.add_argument("--address", required=True, help="its public IPv4 address")
        add.add_argument("--output", type=Path, default=Path("host.toml"), help="file to write")
        add.add_argument("--broker", default=settings.CELERY_BROKER_URL, help="how it dials Redis")
        add.add_argument("--state", type=Path, default=Path("/var/lib/kvmweb/host"))
        add.add_argument("--run", type=Path, default=Path("/run/kvmweb"))
        add.add_argument("--libvirt-uri", default="qemu:///system")

    def handle(self, *_args: Any, **options: Any) -> None:
        folders = HostFolders(options["state"], options["run"], options["libvirt_uri"])
        file: Path = options["output"]
        try:
            host = enrol(options["name"], address=options["address"])
            write_configuration(host, file, broker=options["broker"], folders=folders)
        except KvmwebError as error:
            raise CommandError(error.message) from error
        except OSError as error:
            raise CommandError(f"{file} cannot be written: {error.strerror}") from error
        self.stdout.write(f"Host {host} is known. Its configuration is in {file}; keep it secret.")
