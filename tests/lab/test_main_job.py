"""The main job, from a request to a page served by a guest, on real hosts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.certificates import certificate
from tests.lab.broker import wait_until
from tests.lab.lab import INTERNET, Lab
from tests.lab.panel import PASSWORD, Client, Panel, panel_of
from tests.lab.visitor import Visitor

NAME = "panel.example.net"
CHROMIUM = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab of this file's own: its hosts belong to a panel."""
    with Lab() as lab:
        yield lab


@pytest.fixture(scope="module")
def panel(lab: Lab) -> Iterator[Panel]:
    with panel_of(lab) as panel:
        yield panel


@pytest.fixture(scope="module")
def olga(panel: Panel) -> Client:
    return panel.add_operator("olga")


def new_vm(name: str, **more: object) -> dict[str, object]:
    return {
        "name": name,
        "network": {"name": f"{name}-net"},
        "image": "hello",
        "memory_mib": 96,
        "forwards": [{"protocol": "tcp", "target_port": 80}],
        **more,
    }


def fetch(lab: Lab, endpoint: str) -> str:
    """What the guest behind this endpoint answers to a client of the internet."""
    return str(
        wait_until(
            lambda: lab.fetch(f"http://{endpoint}/", seconds=2),
            seconds=90,
            what=f"http://{endpoint}/",
        )
    )


def endpoint_of(olga: Client, vm: dict[str, object], target_port: int = 80) -> str:
    forwards = olga.get(f"forwards/?vm={vm['id']}")["results"]
    return str(next(f["public_endpoint"] for f in forwards if f["target_port"] == target_port))


def test_one_request_leads_to_a_page_from_a_guest(lab: Lab, olga: Client) -> None:
    vm = olga.do("vms/", new_vm("hello"))
    endpoint = endpoint_of(olga, vm)

    page = fetch(lab, endpoint)

    assert page.startswith("Hello from hello\n")
    assert f"my address: {vm['address']}" in page
    # DNAT alone: the guest sees the client's own address, not its gateway's.
    assert f"your address: {INTERNET}:" in page
    assert endpoint.startswith(f"{lab.h1.address}:")
    job = olga.succeed(vm["job"])
    assert len(job["steps"]) > 3
    assert all(step["state"] == "done" for step in job["steps"])
    wait_until(lambda: olga.get(f"vms/{vm['id']}/")["state"] == "running", what="state running")


def test_the_same_in_a_browser(lab: Lab, panel: Panel, olga: Client) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        page = browser.new_page()
        page.set_default_timeout(30_000)
        page.goto(f"{panel.url}/login/")
        page.get_by_label("Username").fill("olga")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("link", name="VMs", exact=True).first.click()
        page.get_by_role("link", name="New VM").first.click()
        page.get_by_label("Name", exact=True).fill("clicked")
        page.get_by_role("combobox", name="Network").select_option(label="A new network")
        page.get_by_label("Name of the new network").fill("clicked-net")
        page.get_by_role("spinbutton", name="Memory").fill("96")
        page.get_by_role("group", name="Web").get_by_role("checkbox").check()
        page.get_by_role("button", name="Create VM").click()

        link = page.get_by_role("link", name="Open http://")
        expect(page.get_by_text("Host h1 took the job").first).to_be_visible()
        expect(page).to_have_title(re.compile("clicked running"), timeout=120_000)
        endpoint = str(link.get_attribute("href")).removeprefix("http://").rstrip("/")
        browser.close()

    assert fetch(lab, endpoint).startswith("Hello from clicked")


def test_a_guest_is_seen_outside_with_the_public_address(lab: Lab, olga: Client) -> None:
    """The guest itself asks a web server of the internet, which remembers who asked."""
    script = f"#!/bin/sh\nwget -q -O /dev/null http://{INTERNET}/from-outward\n"
    olga.do("vms/", new_vm("outward", user_data=script))

    seen = wait_until(lambda: lab.callers.get("/from-outward"), seconds=90, what="the guest's call")

    assert seen == lab.h1.address


def test_a_forward_opens_and_closes_while_the_guest_runs(lab: Lab, olga: Client) -> None:
    vm = olga.do("vms/", new_vm("doors"))
    fetch(lab, endpoint_of(olga, vm))

    forward = olga.do("forwards/", {"vm": vm["id"], "protocol": "tcp", "target_port": 80})
    assert lab.fetch(f"http://{forward['public_endpoint']}/").startswith("Hello from doors")
    closing = olga.delete(f"forwards/{forward['id']}/")
    olga.succeed(closing["job"])

    assert lab.fetch(f"http://{forward['public_endpoint']}/", seconds=2) == ""
    assert olga.request("GET", f"forwards/{forward['id']}/").status_code == 404


def test_a_check_tells_what_is_missing_and_a_repair_puts_it_back(lab: Lab, olga: Client) -> None:
    vm = olga.do("vms/", new_vm("looked-at"))
    fetch(lab, endpoint_of(olga, vm))
    well = olga.succeed(olga.post(f"vms/{vm['id']}/check/"))
    assert [step["sentence"] for step in well["steps"]][1:] == [
        "All is on the host as it should be"
    ]

    name = lab.h1.run("virsh", "-c", lab.h1.libvirt_uri, "list", "--name").split()
    lab.h1.run("virsh", "-c", lab.h1.libvirt_uri, "destroy", next(n for n in name if "looked" in n))
    ill = olga.succeed(olga.post(f"vms/{vm['id']}/check/"))
    assert any("A repair would do this" in step["sentence"] for step in ill["steps"])
    olga.succeed(olga.post(f"vms/{vm['id']}/repair/")["job"])

    assert fetch(lab, endpoint_of(olga, vm)).startswith("Hello from looked-at")


def test_stop_start_and_delete_leave_nothing_behind(lab: Lab, olga: Client) -> None:
    vm = olga.do("vms/", new_vm("cycle"))
    network_id = olga.get("networks/?search=cycle-net")["results"][0]["id"]
    endpoint = endpoint_of(olga, vm)
    fetch(lab, endpoint)

    olga.do(f"vms/{vm['id']}/stop/")
    wait_until(lambda: olga.get(f"vms/{vm['id']}/")["state"] == "off", what="state off")
    assert lab.fetch(f"http://{endpoint}/", seconds=2) == ""
    olga.do(f"vms/{vm['id']}/start/")
    assert fetch(lab, endpoint).startswith("Hello from cycle")
    olga.succeed(olga.delete(f"vms/{vm['id']}/")["job"])
    olga.succeed(olga.post(f"vms/{vm['id']}/purge/")["job"])
    wait_until(
        lambda: olga.get(f"networks/{network_id}/")["state"] == "active", what="a settled network"
    )
    olga.succeed(olga.delete(f"networks/{network_id}/")["job"])

    assert "cycle" not in lab.h1.run("virsh", "-c", lab.h1.libvirt_uri, "list", "--all", "--name")
    assert olga.request("GET", f"vms/{vm['id']}/").status_code == 404
    assert olga.request("GET", f"networks/{network_id}/").status_code == 404


def test_a_job_survives_the_loss_of_redis_and_all_in_it(
    lab: Lab, panel: Panel, olga: Client
) -> None:
    made = olga.post("vms/", new_vm("phoenix"))
    lab.broker.stop()
    assert olga.get("vms/")["results"], "lists are served without Redis"
    lab.broker.start()

    olga.succeed(made["job"])

    assert fetch(lab, endpoint_of(olga, made)).startswith("Hello from phoenix")


def test_a_request_made_while_redis_is_away_is_done_after_it_is_back(
    lab: Lab, olga: Client
) -> None:
    lab.broker.stop()
    made = olga.post("networks/", {"name": "patient"})
    assert made["state"] == "creating"
    lab.broker.start()

    olga.succeed(made["job"])

    assert olga.get(f"networks/{made['id']}/")["state"] == "active"


def test_a_killed_control_worker_forgets_no_job(lab: Lab, panel: Panel, olga: Client) -> None:
    panel.kill("control")
    made = olga.post("networks/", {"name": "orphan"})
    panel.start_control()

    olga.succeed(made["job"])

    assert olga.get(f"networks/{made['id']}/")["state"] == "active"


def test_a_second_host_serves_its_own_address(lab: Lab, olga: Client) -> None:
    hosts = {host["name"]: host["id"] for host in olga.get("hosts/")["results"]}
    vm = olga.do("vms/", new_vm("second", host=hosts["h2"]))

    endpoint = endpoint_of(olga, vm)

    assert endpoint.startswith(f"{lab.h2.address}:")
    assert fetch(lab, endpoint).startswith("Hello from second")


def test_a_host_is_asked_and_answers_at_once(lab: Lab, olga: Client) -> None:
    """Why, flows and a preview, through web, Redis and the host's monitor."""
    vm = olga.do("vms/", new_vm("asked"))
    endpoint = endpoint_of(olga, vm)
    fetch(lab, endpoint)
    (forward,) = olga.get(f"forwards/?vm={vm['id']}")["results"]
    told = olga.get(f"forwards/{forward['id']}/explain/?source={INTERNET}")
    assert (told["broken"], told["reachable"]) == ("", True), [
        s for s in told["steps"] if s["verdict"] != "ok"
    ]
    out = olga.get(f"vms/{vm['id']}/explain/")
    assert out["broken"] == "", out
    listed = olga.get(f"vms/{vm['id']}/flows/?search=80")
    assert endpoint in {flow["original_destination"] for flow in listed["flows"]}
    ended = olga.request("DELETE", f"forwards/{forward['id']}/flows/")
    assert ended.json()["ended"] >= 1, ended.text
    plan = olga.request("DELETE", f"forwards/{forward['id']}/?dry_run=true").json()["plans"][0]
    assert any(endpoint in step["sentence"] for step in plan["steps"]), plan
    assert plan["guests"] == ["asked"]
    olga.succeed(olga.post(f"vms/{vm['id']}/force-off/")["job"])
    off = olga.get(f"forwards/{forward['id']}/explain/")
    assert off["broken"] == "vm", off


def test_two_projects_have_the_same_subnet_on_one_host(
    lab: Lab, panel: Panel, olga: Client
) -> None:
    """Their guests even have the same address; forwards, names, flows and Why? are each one's."""
    omar = panel.add_operator("omar")
    h1 = next(each["id"] for each in olga.get("hosts/")["results"] if each["name"] == "h1")
    made = []
    for owner, name in ((olga, "ours"), (omar, "theirs")):
        network = {"name": name, "ipv4_subnet": "10.0.0.0/24", "own_router": True}
        vm = owner.do("vms/", new_vm(name, network=network, host=h1))
        owner.do("host-names/", {"vm": vm["id"], "name": f"{name}.example.org", "tls": "off"})
        made.append((owner, name, vm, endpoint_of(owner, vm)))
    assert len({vm["project"] for _, _, vm, _ in made}) == 2
    assert [vm["address"] for _, _, vm, _ in made] == ["10.0.0.2", "10.0.0.2"]
    for owner, name, vm, endpoint in made:
        page = fetch(lab, endpoint)
        assert page.startswith(f"Hello from {name}\n")
        assert "my address: 10.0.0.2" in page
        by_name = ["curl", "-s", "--max-time", "10", f"http://{lab.h1.address}/"]
        asked = lab.internet.run(*by_name, "-H", f"Host: {name}.example.org")
        assert asked.startswith(f"Hello from {name}\n"), asked
        (forward,) = owner.get(f"forwards/?vm={vm['id']}")["results"]
        told = owner.get(f"forwards/{forward['id']}/explain/?source={INTERNET}")
        assert (told["broken"], told["reachable"]) == ("", True), [
            s for s in told["steps"] if s["verdict"] != "ok"
        ]
        flows = owner.get(f"vms/{vm['id']}/flows/?search={INTERNET}")["flows"]
        came = {flow["original_destination"] for flow in flows}
        assert endpoint in came
        assert not came & {other for *_, other in made if other != endpoint}
    (_, _, gone, _), (_, _, _, stays) = made
    olga.succeed(olga.post(f"vms/{gone['id']}/force-off/")["job"])
    (forward,) = olga.get(f"forwards/?vm={gone['id']}")["results"]
    assert olga.get(f"forwards/{forward['id']}/explain/")["broken"] == "vm"
    assert fetch(lab, stays).startswith("Hello from theirs")


def test_people_work_at_the_panel_by_its_name(lab: Lab, panel: Panel, olga: Client) -> None:
    """By HAProxy of a host, with TLS, from signing in to a job's steps."""
    panel.serve_on(lab.h1)
    made = certificate(NAME)
    host = next(each for each in olga.get("hosts/")["results"] if each["name"] == "h1")
    name = olga.do(
        "panel-names/",
        {
            "public_address": host["public_addresses"][0]["id"],
            "name": NAME,
            "certificate": made.certificate,
            "private_key": made.private_key,
        },
    )
    visitor = Visitor(lab, NAME, made.certificate)
    wait_until(lambda: " 200" in visitor.ask("/healthz"), seconds=60, what=visitor.home)
    assert "strict-transport-security: max-age=" in visitor.ask("/healthz")

    assert f"location: {visitor.home}/login/?next=/" in visitor.ask("/login/?next=/", scheme="http")
    assert " 302" in visitor.sign_in("olga").splitlines()[0]
    assert visitor.cookies.keys() == {"csrftoken", "sessionid"}
    body = ["--header", "Content-Type: application/json", "--data", '{"name": "by-name"}']
    refused = visitor.ask("/api/v1/networks/", *body)
    assert " 403" in refused.splitlines()[0], refused
    answer = visitor.ask("/api/v1/networks/", *body, "--header", f"X-CSRFToken: {visitor.token}")
    network = json.loads(answer.rpartition("\n\n")[2])
    told = next(
        each
        for each in visitor.listen(f"/ws/jobs/{network['job']}/?after=0")
        if "succeeded" in json.dumps(each)
    )
    assert told, "the job ended without a word"
    assert INTERNET in visitor.ask("/admin/projects/auditevent/?q=by-name")

    olga.succeed(olga.delete(f"panel-names/{name['id']}/")["job"])
    assert " 200" not in visitor.ask("/healthz")
    assert olga.get(f"networks/{network['id']}/")["state"] == "active"
