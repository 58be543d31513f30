"""Certificates of host names: which are taken, and that nobody ever sees a key again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from django.apps import apps
from django.contrib.auth.models import User
from django.core import serializers
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone

from kvmweb.core.errors import Invalid
from kvmweb.core.secret import reveal
from kvmweb.jobs.dispatch import sync
from kvmweb.jobs.models import Job
from kvmweb.projects.actions import Actor
from networks.actions import add_host_name, change_host_name, delete_host_name
from networks.certificates import parse
from networks.host.proxy import SEALED_FOR, covers
from networks.models import Certificate, HostName, Network, Reservation
from networks.spec_from_rows import build_spec
from tests.cast import finish_job
from tests.certificates import Made, certificate
from tests.refusals import refused

WWW = "www.example.org"
NOW = datetime.now(UTC)
GOOD = certificate(WWW)
RENEWED = certificate(WWW, "example.org", days=400)
CA = certificate("ca.example.org")


@pytest.mark.pure
@pytest.mark.parametrize(
    ("name", "made"),
    [
        (WWW, GOOD),
        (WWW, certificate("*.example.org")),
        ("*.example.org", certificate("*.example.org", "example.org")),
        (WWW, certificate(WWW, private=ec.generate_private_key(ec.SECP384R1()))),
        (WWW, certificate(WWW, private=rsa.generate_private_key(65537, 2048))),
    ],
)
def test_these_are_taken(name: str, made: Made) -> None:
    given = parse(made.certificate, made.private_key, name, NOW)
    assert given.key.decode() == made.private_key
    assert covers(given.names, name)
    assert made.secret not in repr(given)


@pytest.mark.pure
def test_intermediate_certificates_come_along_in_order() -> None:
    own = certificate(WWW, issuer=CA)
    chain = own.certificate + CA.certificate
    assert parse(chain, own.private_key, WWW, NOW).chain.count("BEGIN CERTIFICATE") == 2
    assert parse(chain, own.private_key, WWW, NOW).issuer == "CN=ca.example.org"
    with pytest.raises(Invalid, match="not in order"):
        parse(CA.certificate + own.certificate, own.private_key, WWW, NOW)
    with pytest.raises(Invalid, match="not in order"):
        parse(own.certificate + GOOD.certificate, own.private_key, WWW, NOW)


WEAK = certificate(WWW, private=rsa.generate_private_key(65537, 1024))  # noqa: S505
ODD = certificate(WWW, private=ed25519.Ed25519PrivateKey.generate())
CLIENT = certificate(WWW, use=ExtendedKeyUsageOID.CLIENT_AUTH)
OVER, EARLY = certificate(WWW, days=-1, begins=-9), certificate(WWW, begins=3)
OTHER = certificate("example.org", "a.b.example.org")


@pytest.mark.pure
@pytest.mark.parametrize(
    ("chain", "key", "field", "words"),
    [
        ("", GOOD.private_key, "certificate", "only with"),
        (GOOD.certificate, "", "private_key", "only with"),
        ("no PEM", GOOD.private_key, "certificate", "no certificates"),
        (GOOD.certificate.replace("M", "ü"), GOOD.private_key, "certificate", "64 KiB"),
        (GOOD.certificate + "#" * 70_000, GOOD.private_key, "certificate", "64 KiB"),
        (GOOD.certificate + GOOD.private_key, GOOD.private_key, "certificate", "among"),
        (GOOD.certificate, GOOD.certificate, "private_key", "no private key"),
        (GOOD.certificate, GOOD.private_key[:120], "private_key", "no private key"),
        (GOOD.certificate, GOOD.protected("secret"), "private_key", "password"),
        (GOOD.certificate, RENEWED.private_key, "private_key", "another certificate"),
        (WEAK.certificate, WEAK.private_key, "private_key", "kind of key"),
        (ODD.certificate, ODD.private_key, "private_key", "kind of key"),
        (OTHER.certificate, OTHER.private_key, "certificate", "example.org, a.b.example.org"),
        (OVER.certificate, OVER.private_key, "certificate", "expired"),
        (EARLY.certificate, EARLY.private_key, "certificate", "not valid before"),
        (CLIENT.certificate, CLIENT.private_key, "certificate", "not for servers"),
    ],
)
def test_these_are_refused_by_field(chain: str, key: str, field: str, words: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse(chain, key, WWW, NOW)
    assert refusal.value.field == field
    assert words in refusal.value.message
    assert GOOD.secret not in f"{refusal.value.message} {refusal.value.remedy}"


def given(made: Made = GOOD) -> dict[str, Any]:
    return {"tls": "terminate", "certificate": made.certificate, "private_key": made.private_key}


def spec_of(reservation: Reservation) -> dict[str, Any]:
    (found,) = build_spec(Network.objects.get(pk=reservation.network_id))["host_names"]
    return dict(found)


@pytest.fixture
def secure(actor: Actor, reservation: Reservation) -> HostName:
    return add_host_name(actor, reservation=reservation.uuid, name=WWW, **given())


@pytest.mark.db
@pytest.mark.django_db
class TestStored:
    """What becomes of a certificate in the database, in specs and in everything shown."""

    @pytest.mark.usefixtures("secure")
    def test_it_reaches_its_host_sealed(self, reservation: Reservation) -> None:
        spec = spec_of(reservation)
        assert (spec["tls"], spec["tls_port"], spec["certificate"]) == (
            "terminate",
            80,
            Certificate.objects.get().fingerprint[:32],
        )
        key = reservation.network.host.key
        text = reveal(key, SEALED_FOR, spec["sealed_pem"]).decode()
        assert text == GOOD.certificate + GOOD.private_key

    def test_a_new_one_replaces_it_and_other_changes_keep_it(
        self, actor: Actor, reservation: Reservation, secure: HostName
    ) -> None:
        before = spec_of(reservation)["certificate"]
        change_host_name(actor, secure.uuid, http_port=None, redirect=True, reencrypt=True)
        spec = spec_of(reservation)
        assert (spec["certificate"], spec["redirect"], spec["reencrypt"]) == (before, True, True)
        change_host_name(actor, secure.uuid, **given(RENEWED))
        assert spec_of(reservation)["certificate"] != before
        assert Certificate.objects.get().names == [WWW, "example.org"]

    def test_it_goes_with_what_it_was_for(
        self, actor: Actor, reservation: Reservation, secure: HostName
    ) -> None:
        change_host_name(actor, secure.uuid, tls="passthrough")
        assert not Certificate.objects.exists()
        assert spec_of(reservation)["tls_port"] == 443
        change_host_name(actor, secure.uuid, **given())
        delete_host_name(actor, secure.uuid)
        finish_job(Network.objects.get(pk=reservation.network_id).job)
        assert not Certificate.objects.exists()

    def test_bad_wishes_are_refused(
        self, actor: Actor, reservation: Reservation, secure: HostName
    ) -> None:
        where = {"reservation": reservation.uuid, "name": "a.example.org"}
        with refused(Invalid, field="certificate"):
            add_host_name(actor, **where, tls="terminate")  # type: ignore[arg-type]
        with refused(Invalid, field="certificate"):
            add_host_name(actor, **where, **{**given(), "tls": "passthrough"})  # type: ignore[arg-type]
        with refused(Invalid, field="certificate"):
            add_host_name(actor, **where, **given())  # type: ignore[arg-type]
        with refused(Invalid, field="private_key"):
            change_host_name(actor, secure.uuid, certificate=GOOD.certificate)
        assert HostName.objects.count() == 1

    @pytest.mark.usefixtures("secure")
    def test_another_secret_key_leaves_the_name_alone_in_need(
        self, reservation: Reservation, settings: Any
    ) -> None:
        old = settings.SECRET_KEY
        with override_settings(SECRET_KEY="another", SECRET_KEY_FALLBACKS=[old]):
            assert spec_of(reservation)["sealed_pem"]
        with override_settings(SECRET_KEY="another"):
            assert spec_of(reservation)["sealed_pem"] == ""

    def test_the_key_is_nowhere_to_be_seen(
        self, alice: User, olga: User, reservation: Reservation, secure: HostName
    ) -> None:
        """Neither in what anybody is shown nor in any row of any table."""
        sync("network", reservation.network.uuid)
        rows = [row for model in apps.get_models() for row in model._default_manager.all()]
        kept = serializers.serialize("json", rows)
        assert GOOD.certificate.splitlines()[1] in kept
        assert GOOD.secret not in kept
        payload = Job.objects.get(status="running").payload
        sealed = payload["spec"]["host_names"][0]["sealed_pem"]  # type: ignore[index]
        network, vm = reservation.network, reservation.nic.vm
        row = Certificate.objects.get()
        addresses = [
            reverse("host-name", args=[secure.uuid]),
            *map(reverse, ("host-names", "overview", "activity", "api:job-list")),
            reverse("job", args=[Network.objects.get(pk=network.pk).job.uuid]),  # type: ignore[union-attr]
            reverse("network", args=[network.uuid]),
            reverse("vm", args=[vm.uuid]),
            reverse("api:host-name-list"),
            reverse("api:host-name-detail", args=[secure.uuid]),
            reverse("api:job-detail", args=[Network.objects.get(pk=network.pk).job.uuid]),  # type: ignore[union-attr]
            reverse("admin:projects_auditevent_changelist"),
            reverse("admin:networks_certificate_changelist"),
            reverse("admin:networks_certificate_change", args=[row.pk]),
            reverse("admin:networks_hostname_change", args=[secure.pk]),
        ]
        for person in (alice, olga):
            client = Client()
            client.force_login(person)
            for address in addresses:
                answer = client.get(address)
                if "/admin/" not in address or person == olga:
                    assert answer.status_code == 200, address
                for secret in (GOOD.secret, row.concealed_key, sealed):
                    assert secret not in answer.content.decode(), address


@pytest.mark.db
@pytest.mark.django_db
class TestAsked:
    """By pages and REST."""

    def test_rest_takes_it_and_shows_what_all_may_know(
        self, alice: User, client: Client, reservation: Reservation
    ) -> None:
        client.force_login(alice)
        body = {"name": WWW, "reservation": str(reservation.uuid), **given()}
        answer = client.post(reverse("api:host-name-list"), json.dumps(body), "application/json")
        assert answer.status_code == 202, answer.content
        shown = answer.json()["certificate"]
        assert (shown["names"], shown["ends_soon"]) == ([WWW], False)
        assert "BEGIN" not in answer.content.decode()
        body = {"certificate": GOOD.certificate, "private_key": RENEWED.private_key}
        address = reverse("api:host-name-detail", args=[answer.json()["id"]])
        refusal = client.patch(address, json.dumps(body), "application/json")
        assert (refusal.status_code, refusal.json()["field"]) == (400, "private_key")
        assert RENEWED.secret not in refusal.content.decode()

    def test_the_form_takes_files_and_never_sends_a_key_back(
        self, alice: User, client: Client, reservation: Reservation
    ) -> None:
        client.force_login(alice)
        base = {"name": WWW, "reservation": str(reservation.uuid), "http_port": 80}
        sent = {**base, **given(), "private_key": RENEWED.private_key}
        answer = client.post(reverse("host-name-new"), sent)
        assert answer.status_code == 400
        assert "the key of another certificate" in answer.content.decode()
        assert RENEWED.secret not in answer.content.decode()
        files = {
            "certificate_file": SimpleUploadedFile("fullchain.pem", GOOD.certificate.encode()),
            "private_key_file": SimpleUploadedFile("privkey.pem", GOOD.private_key.encode()),
        }
        answer = client.post(reverse("host-name-new"), {**base, "tls": "terminate", **files})
        assert answer.status_code == 302, answer.content
        made = HostName.objects.get()
        page = client.get(reverse("host-name", args=[made.uuid])).content.decode()
        assert "valid until" in page
        assert (
            client.post(
                reverse("host-name", args=[made.uuid]), {"tls": "terminate", "tls_port": 8080}
            ).status_code
            == 302
        )
        assert HostName.objects.get().tls_port == 8080

    @pytest.mark.usefixtures("secure")
    def test_the_overview_warns_in_time(self, alice: User, client: Client) -> None:
        client.force_login(alice)
        for days, words in ((20, "expires soon"), (-1, "expired"), (30, "")):
            Certificate.objects.update(not_after=timezone.now() + timedelta(days=days))
            page = client.get(reverse("overview")).content.decode()
            assert (f"The certificate of {WWW} {words}" in page) == bool(words)
