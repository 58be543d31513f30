"""Many forwards in one request, as programs ask for it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from networks.models import Forward, Reservation
from tests.kvmweb.api.conftest import Program

pytestmark = [pytest.mark.db, pytest.mark.django_db]


def test_programs_get_everything_in_their_order_or_every_error(
    alices: Program, reservation: Reservation, bob: User
) -> None:
    uuid = str(reservation.uuid)
    entries = [{"reservation": uuid, "target_port": port} for port in (81, 82, 83)]
    answer = alices.post("forwards/bulk/", {"forwards": entries})
    assert answer.status_code == 202, answer.data
    assert [each["target_port"] for each in answer.data["forwards"]] == [81, 82, 83]
    assert answer.headers["Location"].endswith(f"{answer.data['jobs'][0]}/")
    port = answer.data["forwards"][0]["public_port"]
    taken = {**entries[0], "public_port": port}
    refused = alices.post("forwards/bulk/", {"forwards": [taken, entries[1], taken]})
    assert refused.status_code == 409
    assert refused.data["field"] == "forwards.0.public_port"
    assert [each["field"] for each in refused.data["errors"]] == [
        "forwards.0.public_port",
        "forwards.2.public_port",
    ]
    assert Program(bob).post("forwards/bulk/", {"forwards": entries}).status_code == 403
    assert Forward.objects.filter(target_port__in=(81, 82, 83)).count() == 3
