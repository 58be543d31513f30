"""manage.py token create USER [--name NAME]: print a new API token."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from kvmweb.projects.actions import Actor, create_token


class Command(BaseCommand):
    help = "Create an API token for a user and print it. It is shown this once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True)
        create = commands.add_parser("create", help="create a token and print it")
        create.add_argument("user")
        create.add_argument("--name", default="command line")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            user = User.objects.get(username=options["user"], is_active=True)
        except User.DoesNotExist:
            raise CommandError(f"There is no active user {options['user']!r}.") from None
        _token, secret = create_token(Actor(user), name=options["name"])
        self.stdout.write(secret)
