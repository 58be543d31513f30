"""The commands of docs/api.md are run as they stand there."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from kvmweb.hosts.models import PublicAddress
from kvmweb.projects.actions import Actor, create_token
from kvmweb.server.first_start import IMAGE as BUILT_IN
from networks.models import Forward
from vms.models import Image, Vm

pytestmark = [pytest.mark.db, pytest.mark.django_db(transaction=True)]

GUIDE = Path(__file__).parents[3] / "docs" / "api.md"
MARK = "--8<-- next"


def commands() -> list[str]:
    """The shell commands of the guide, without those that only name the panel and the token."""
    blocks = re.findall(r"^```sh\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    return [block for block in blocks if "export " not in block]


def test_the_guide_does_what_it_says(
    live_server: Any, alice: User, public_address: PublicAddress, image: Image
) -> None:
    image.name = BUILT_IN
    image.save()
    _token, secret = create_token(Actor(alice), name="guide")
    script = f"\necho '{MARK}'\n".join(commands())
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env={"PANEL": f"{live_server.url}/api/v1", "TOKEN": secret, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = [text.strip() for text in done.stdout.split(MARK)]
    projects, made, _, job, _, shown, forward, _, why, named, changed, binned, gone = answers
    assert json.loads(projects)["results"][0]["role"] == "owner"
    assert made.startswith("HTTP/1.1 202")
    assert "Location: /api/v1/jobs/" in made
    assert json.loads(job)["subject"]["name"] == "hello"
    assert json.loads(shown) == {
        "state": "creating",
        "address": "10.66.0.2",
        "public_endpoint": "198.51.100.11:20000",
    }
    assert json.loads(forward)["public_endpoint"] == "198.51.100.11:7007"
    assert json.loads(why)["code"] == "host_not_answering"
    assert json.loads(named)["name"] == "www.example.org"
    assert json.loads(changed)["memory_mib"] == 512
    assert json.loads(binned)["goes_at"]
    assert json.loads(gone)["state"] == "deleting"
    assert not Vm.objects.get().present
    assert not Forward.objects.filter(present=True).exists()
