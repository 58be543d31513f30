"""manage.py image publish NAME FILE: make a qcow2 file an image for everybody."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from kvmweb.core.errors import KvmwebError
from vms.publish import publish, read_facts


class Command(BaseCommand):
    help = "Publish an image. Hosts fetch it from FILE, which must stay where it is."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True)
        add = commands.add_parser("publish", help="make a qcow2 file an image for everybody")
        add.add_argument("name")
        add.add_argument("file", type=Path, help="with its facts in a .json file beside it")
        add.add_argument("--description", default="")

    def handle(self, *_args: Any, **options: Any) -> None:
        file: Path = options["file"].absolute()
        try:
            facts = read_facts(file)
            image = publish(options["name"], file, facts, description=options["description"])
        except KvmwebError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"Image {image} is public.")
