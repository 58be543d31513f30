"""The panel's own names: who may set them, what tenants can no longer take, what the panel answers
to.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from kvmweb.asgi import application
from kvmweb.core.errors import Conflict, Invalid, NotFound
from kvmweb.core.secret import reveal
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.jobs.dispatch import sync
from kvmweb.jobs.models import Job
from kvmweb.projects.actions import Actor
from kvmweb.server.web import trusted_proxies
from kvmweb.ui.middleware import secure_cookies
from networks.actions import (
    add_forward,
    add_host_name,
    add_panel_name,
    change_panel_name,
    delete_panel_name,
)
from networks.host.proxy import SEALED_FOR
from networks.models import Certificate, PanelName, Reservation
from networks.panel import build_spec
from tests.cast import fail_job, finish_job
from tests.certificates import certificate
from tests.panel import MADE, NAME, panel_name
from tests.refusals import refused

pytestmark = [pytest.mark.db, pytest.mark.django_db]


@pytest.fixture
def panel(olga: User, network: Any) -> PanelName:
    return panel_name(olga)


def test_its_host_is_told_sealed_and_lets_go_of_it(olga: User, panel: PanelName) -> None:
    spec = build_spec(panel)
    key = panel.host.key
    assert (spec["name"], spec["address"], spec["port"]) == (NAME, "127.0.0.1", 8000)
    assert reveal(key, SEALED_FOR, spec["sealed_pem"]).decode().endswith(MADE.private_key)
    sync("panel", panel.uuid)
    job = Job.objects.get(kind="panel")
    assert (job.status, job.title) == ("running", f"Serve the panel as {NAME}")
    finish_job(job)
    panel.refresh_from_db()
    assert panel.is_applied
    change_panel_name(Actor(olga), panel.uuid, port=8443)
    delete_panel_name(Actor(olga), panel.uuid)
    with pytest.raises(Conflict):
        change_panel_name(Actor(olga), panel.uuid, port=1)
    panel.refresh_from_db()
    assert panel.job is not None
    finish_job(panel.job)
    assert not PanelName.objects.exists()
    assert not Certificate.objects.exists()


def test_tenants_take_neither_the_name_nor_a_wildcard_over_it(
    actor: Actor, reservation: Reservation, panel: PanelName
) -> None:
    for name in (NAME, NAME.upper(), "*.example.net"):
        with refused(Conflict, field="name", code="host_name_taken"):
            add_host_name(actor, reservation=reservation.uuid, name=name)
    add_host_name(actor, reservation=reservation.uuid, name="shop.example.net")
    with refused(Conflict, field="public_port", code="port_shared"):
        add_forward(actor, reservation=reservation.uuid, target_port=80, public_port=443)


def test_what_cannot_be_is_refused(
    actor: Actor, olga: User, reservation: Reservation, host: Host
) -> None:
    public = PublicAddress.objects.get(is_default=True)
    add_host_name(actor, reservation=reservation.uuid, name="*.example.net")
    pem = {"certificate": MADE.certificate, "private_key": MADE.private_key}
    where: dict[str, Any] = {"public_address": public.uuid}
    with refused(Conflict, field="name", code="host_name_taken"):
        add_panel_name(Actor(olga), name=NAME, **where, **pem)  # type: ignore[arg-type]
    with refused(Invalid, field="certificate"):
        add_panel_name(Actor(olga), name="panel.example.com", **where, **pem)  # type: ignore[arg-type]
    with refused(Invalid, field="name"):
        add_panel_name(Actor(olga), name="*.example.com", **where, **pem)  # type: ignore[arg-type]
    with refused(Invalid, field="certificate"):
        add_panel_name(Actor(olga), name="panel.example.com", **where)
    with refused(Invalid, field="address"):
        add_panel_name(Actor(olga), name="panel.example.com", address="::1", **where, **pem)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        add_panel_name(actor, name="panel.example.com", **where, **pem)  # type: ignore[arg-type]
    assert not PanelName.objects.exists()


def test_operators_set_it_on_the_hosts_page(
    olga: User, client: Client, host: Host, network: Any
) -> None:
    client.force_login(olga)
    public = PublicAddress.objects.get(is_default=True)
    sent = {
        "name": NAME,
        "public_address": str(public.uuid),
        "address": "127.0.0.1",
        "port": "8000",
        "certificate": MADE.certificate,
        "private_key": MADE.private_key,
    }
    assert "optional" not in client.get(reverse("panel-new", args=[host.uuid])).content.decode()
    answer = client.post(reverse("panel-new", args=[host.uuid]), {**sent, "private_key": "x"})
    assert answer.status_code == 400
    assert client.post(reverse("panel-new", args=[host.uuid]), sent).status_code == 302
    panel = PanelName.objects.get()
    assert NAME in client.get(reverse("host", args=[host.uuid])).content.decode()
    renewed = certificate(NAME, days=200)
    change = {"address": "127.0.0.1", "port": "8001", "certificate": renewed.certificate}
    page = reverse("panel", args=[panel.uuid])
    assert client.post(page, {**change, "private_key": renewed.private_key}).status_code == 302
    shown = client.get(page).content.decode()
    assert "valid until" in shown
    assert MADE.secret not in shown
    assert client.post(reverse("panel-delete", args=[panel.uuid])).status_code == 302


def test_the_overview_tells_operators_alone_what_its_names_need(
    olga: User, alice: User, client: Client, panel: PanelName
) -> None:
    def overview(user: User) -> str:
        client.force_login(user)
        return str(client.get(reverse("overview")).content.decode())

    assert "The certificate of" not in overview(olga)
    assert "made panel name" in overview(olga)
    Certificate.objects.update(not_after=timezone.now() + timedelta(days=5))
    sync("panel", panel.uuid)
    fail_job(panel.job, "Port 443 is in use.")
    shown = overview(olga)
    assert f"The certificate of {NAME} expires soon" in shown
    assert "Port 443 is in use." in shown
    assert NAME not in overview(alice)


def asked(name: str) -> int:
    """The status of a request for the panel by this name."""
    return int(answer_to(name)["status"])


def answer_to(name: str, scheme: str = "http") -> Any:
    """How the panel begins its answer to such a request."""
    scope = {
        "type": "http",
        "scheme": scheme,
        "method": "GET",
        "path": "/login/",
        "query_string": b"",
        "headers": [(b"host", name.encode())],
    }

    async def ask() -> Any:
        panel: Any = ApplicationCommunicator(application, scope)  # type: ignore[no-untyped-call]
        await panel.send_input({"type": "http.request", "body": b""})
        answer = await panel.receive_output(20)
        await panel.wait(20)
        return answer

    return async_to_sync(ask)()


@pytest.mark.django_db(transaction=True)
def test_the_panel_answers_to_its_names_and_to_no_others(
    olga: User, network: Any, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    assert (asked("127.0.0.1"), asked(NAME), asked("evil.example.net")) == (200, 400, 400)
    panel = panel_name(olga)
    assert (asked(NAME), asked(f"x{NAME}"), asked("127.0.0.1")) == (200, 400, 200)
    delete_panel_name(Actor(olga), panel.uuid)
    assert (asked(NAME), asked("127.0.0.1")) == (400, 200), "it may be somebody else's now"


@pytest.mark.django_db(transaction=True)
def test_who_came_by_tls_is_told_to_come_by_tls_alone(
    olga: User, network: Any, settings: Any
) -> None:
    """By a name of the panel's own; elsewhere whoever ends TLS says so."""
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    panel = panel_name(olga)

    def strict(name: str, scheme: str) -> bytes:
        headers: dict[bytes, bytes] = dict(answer_to(name, scheme)["headers"])
        return headers.get(b"strict-transport-security", b"")

    assert strict(NAME, "https") == b"max-age=2592000"
    assert strict(NAME, "http") == strict("127.0.0.1", "https") == b""
    delete_panel_name(Actor(olga), panel.uuid)
    assert strict(NAME, "https") == b""


def test_cookies_that_came_by_tls_leave_by_tls_alone() -> None:
    def answer(_request: HttpRequest) -> HttpResponse:
        made = HttpResponse()
        made.set_cookie("sessionid", "x")
        return made

    for secure in (True, False):
        request = RequestFactory().get("/", secure=secure)
        cookie = secure_cookies(answer)(request).cookies["sessionid"]
        assert bool(cookie["secure"]) == secure


def test_only_proxies_of_the_panels_machine_may_tell_of_clients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert trusted_proxies("::") == ["127.0.0.1", "::1"]
    monkeypatch.setenv("KVMWEB_PROXIES", "10.0.0.7")
    assert trusted_proxies("10.0.0.5") == ["127.0.0.1", "::1", "10.0.0.5", "10.0.0.7"]
