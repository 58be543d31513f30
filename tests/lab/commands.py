"""A panel's manage.py commands, run in one process that stays: each start would cost a second.

`python -m tests.lab.commands` reads one JSON object per line, {"arguments": […], "env": {…}}, and
answers each with {"said": …} or {"failed": …}.
"""

from __future__ import annotations

import io
import json
import os
import sys
import traceback
from typing import Any

import django
from django.core.management import call_command
from django.db import connections


def main() -> None:
    """Until standard input ends."""
    django.setup()
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        answers.write(json.dumps(_done(json.loads(line))) + "\n")
        answers.flush()


def _done(order: dict[str, Any]) -> dict[str, str]:
    said = io.StringIO()
    os.environ.update(order["env"])
    try:
        call_command(*order["arguments"], stdout=said)
    except (Exception, SystemExit):
        return {"failed": traceback.format_exc()}
    finally:
        connections.close_all()
    return {"said": said.getvalue().strip()}


if __name__ == "__main__":
    main()
