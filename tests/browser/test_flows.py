"""What people do at the panel, done in a real browser while a host reports."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, expect

from kvmweb.host.progress import Outcome, Step
from kvmweb.hosts.models import PublicAddress
from kvmweb.jobs import notify
from kvmweb.jobs.models import Job
from networks.models import HostName, Network
from tests.browser.conftest import Panel, Web
from tests.cast import PASSWORD, fail_job, finish_job, report, start_job
from vms.models import Image, Vm

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect.set_options(timeout=20_000)


def good(job: Job, state: str) -> Outcome:
    return Outcome(ok=True, generation=job.generation or 0, observed={"state": state})


def test_a_vm_is_made_on_one_page_and_followed_to_its_connect_card(
    panel: Panel, alice: User, image: Image, public_address: PublicAddress
) -> None:
    panel.log_in(alice)
    panel.open("/vms/")
    panel.page.get_by_role("link", name="New VM").first.click()
    panel.page.get_by_label("Name", exact=True).fill("mail")
    panel.page.get_by_label("Name of the new network").fill("post")
    expect(panel.page.get_by_label("What will be made")).to_contain_text("post (new, 10.60.0.0/24)")
    expect(panel.page.get_by_label("What will be made")).to_contain_text(
        "198.51.100.11:20000 → port 22"
    )
    panel.page.get_by_role("button", name="Create VM").click()
    expect(panel.page.get_by_role("heading", level=1)).to_contain_text("Creating")
    panel.wait_until_live()

    network_job = start_job(Network.objects.get().job)
    report(network_job, Step(key="bridge", sentence="Created bridge with 10.60.0.1/24"))
    expect(panel.page.get_by_text("Created bridge with 10.60.0.1/24")).to_be_visible()
    report(network_job, outcome=good(network_job, ""))

    job = start_job(Vm.objects.get().job)
    for percent in (34, 81):
        copying = Step(key="image", sentence="Copying", state="running", percent=percent)
        report(job, copying)
        expect(panel.page.get_by_role("progressbar")).to_have_attribute("value", str(percent))
    report(job, Step(key="image", sentence="Copied image tiny"), outcome=good(job, "running"))
    expect(panel.page.get_by_role("button", name="ssh -p 20000 root@198.51.100.11")).to_be_visible()
    expect(panel.page.get_by_role("heading", level=1)).to_contain_text("Running")
    expect(panel.page).to_have_title(re.compile(r"^✓ mail running"))
    expect(panel.page.locator("[data-job]")).to_have_count(0)
    assert panel.complaints == []


def test_a_list_follows_what_others_do(
    panel: Panel, vm: Vm, network: Network, olga: User, image: Image
) -> None:
    panel.log_in(olga)
    panel.open("/vms/")
    panel.wait_until_live()
    row = panel.page.get_by_role("row", name="web-1")
    expect(row).to_contain_text("Running")
    Vm.objects.filter(pk=vm.pk).update(power="off", generation=vm.generation + 1)
    notify.subject_changed("vm", vm.uuid, vm.project_id)
    expect(row).to_contain_text("Stopping")
    assert panel.complaints == []


def test_pressing_stop_says_at_once_what_is_under_way(panel: Panel, vm: Vm, alice: User) -> None:
    panel.log_in(alice)
    panel.open(f"/vms/{vm.uuid}/")
    panel.wait_until_live()
    panel.page.evaluate("window.here = true")
    panel.page.get_by_role("button", name="Stop").click()
    expect(panel.page.get_by_role("heading", level=1)).to_contain_text("Stopping")
    expect(panel.page.get_by_text("Stop VM web-1")).to_be_visible()
    job = start_job(Vm.objects.get().job)
    report(job, Step(key="ask", sentence="Asked the guest to shut down"), outcome=good(job, "off"))
    expect(panel.page.get_by_role("heading", level=1)).to_contain_text("Off")
    expect(panel.page.get_by_role("button", name="Start")).to_be_visible()
    assert panel.page.evaluate("window.here"), "the page was loaded again"
    assert panel.complaints == []


def test_a_failed_job_says_why_and_what_to_do_and_is_retried(
    panel: Panel, vm: Vm, network: Network, alice: User
) -> None:
    panel.log_in(alice)
    panel.open(f"/vms/{vm.uuid}/")
    panel.page.get_by_role("button", name="Stop").click()
    expect(panel.page.get_by_role("heading", level=1)).to_contain_text("Stopping")
    fail_job(Vm.objects.get().job, "The guest did not answer.", remedy="Force it off.")
    expect(panel.page.get_by_text("What to do: Force it off.")).to_be_visible()
    panel.page.get_by_role("button", name="Retry").click()
    expect(panel.page.get_by_role("heading", level=1)).to_contain_text("Queued")
    finish_job(Job.objects.filter(kind="vm", status="queued").get(), state="off")
    expect(panel.page.get_by_role("heading", level=1)).to_contain_text("Done")
    expect(panel.page).to_have_title(re.compile("^✓ Stop VM web-1"))


def test_nothing_is_lost_while_the_panel_is_away(
    panel: Panel, web: Web, vm: Vm, alice: User
) -> None:
    panel.log_in(alice)
    panel.open(f"/vms/{vm.uuid}/")
    panel.page.get_by_role("button", name="Stop").click()
    expect(panel.page.get_by_role("heading", level=1)).to_contain_text("Stopping")
    job = start_job(Vm.objects.get().job)
    panel.open(f"/jobs/{job.uuid}/")
    panel.wait_until_live()
    web.stop()
    expect(panel.page.get_by_text("Live updates are interrupted")).to_be_visible()
    for number in range(5):
        report(job, Step(key=f"step-{number}", sentence=f"Said while away {number}"))
    web.start()
    expect(panel.page.get_by_text("Said while away 4")).to_be_visible()
    expect(panel.page.get_by_text("Live updates are interrupted")).to_be_hidden()
    expect(panel.page.get_by_text(re.compile("Said while away"))).to_have_count(5)
    report(job, outcome=good(job, "off"))
    expect(panel.page.get_by_role("heading", level=1)).to_contain_text("Done")


def test_errors_stand_under_their_field_and_what_was_typed_stays(
    panel: Panel, vm: Vm, alice: User
) -> None:
    panel.log_in(alice)
    panel.open("/vms/new/")
    panel.page.get_by_label("Name", exact=True).fill("Not A Name")
    panel.page.get_by_label("Memory", exact=True).focus()
    expect(panel.page.get_by_text("1 to 63 of a-z, 0-9 and -")).to_be_visible()
    panel.page.get_by_label("Name", exact=True).fill("mail")
    expect(panel.page.get_by_text("1 to 63 of a-z, 0-9 and -")).to_be_hidden()
    panel.page.get_by_role("group", name="SSH").get_by_label("Public port").fill("20022")
    panel.page.get_by_label("Memory", exact=True).fill("1024")
    panel.page.get_by_role("button", name="Create VM").click()
    expect(panel.page.get_by_text("Port 20022 of 198.51.100.11 is taken.")).to_be_visible()
    expect(panel.page.get_by_label("Memory", exact=True)).to_have_value("1024")
    expect(panel.page.get_by_label("Name", exact=True)).to_have_value("mail")
    panel.page.get_by_role("button", name="Another port").click()
    panel.page.get_by_role("group", name="Another port").get_by_label("Port of the VM").fill("25")
    expect(panel.page.get_by_label("What will be made")).to_contain_text("→ port 25")


def test_the_fields_of_a_certificate_are_there_where_tls_is_ended_here(
    panel: Panel, host_name: HostName, alice: User
) -> None:
    panel.log_in(alice)
    panel.open(f"/host-names/{host_name.uuid}/")
    expect(panel.page.get_by_label("Private key (PEM)")).to_be_hidden()
    tls = panel.page.get_by_label("TLS on port 443")
    tls.select_option("terminate")
    expect(panel.page.get_by_label("Private key (PEM)")).to_be_visible()
    tls.select_option("off")
    expect(panel.page.get_by_label("Private key (PEM)")).to_be_hidden()
    assert panel.complaints == []


def test_everything_is_found_by_keyboard(panel: Panel, vm: Vm, alice: User) -> None:
    panel.log_in(alice)
    panel.page.keyboard.press("Tab")
    expect(panel.page.get_by_role("link", name="Skip to content")).to_be_focused()
    panel.page.keyboard.press("Control+k")
    panel.page.keyboard.type("20022")
    expect(panel.page.get_by_role("dialog").get_by_text("198.51.100.11:20022")).to_be_visible()
    panel.page.keyboard.press("ArrowDown")
    panel.page.keyboard.press("Enter")
    expect(panel.page.get_by_role("heading", level=1)).to_contain_text("198.51.100.11:20022")
    assert panel.complaints == []


def test_one_click_copies(panel: Panel, vm: Vm, alice: User) -> None:
    panel.context.grant_permissions(["clipboard-read", "clipboard-write"])
    panel.log_in(alice)
    panel.open("/vms/")
    button = panel.page.get_by_role("button", name="ssh -p 20022 root@198.51.100.11")
    button.click()
    expect(button).to_have_attribute("data-copied", "")
    copied = panel.page.evaluate("navigator.clipboard.readText()")
    assert copied == "ssh -p 20022 root@198.51.100.11"


def test_the_theme_is_kept(panel: Panel, alice: User) -> None:
    panel.log_in(alice)
    panel.page.get_by_label("Account of alice").click()
    panel.page.get_by_role("button", name="Dark").click()
    root = panel.page.locator("html")
    expect(root).to_have_attribute("data-bs-theme", "dark")
    panel.open("/vms/")
    expect(root).to_have_attribute("data-bs-theme", "dark")


def test_a_list_narrows_while_one_types(panel: Panel, pages: dict[str, str], alice: User) -> None:
    panel.log_in(alice)
    panel.open("/vms/")
    panel.page.get_by_label("Search in this list").press_sequentially("web")
    expect(panel.page.get_by_role("row")).to_have_count(3)
    expect(panel.page).to_have_url(re.compile(r"q=web"))
    panel.page.get_by_label("State").select_option("off")
    expect(panel.page.get_by_text("No VM matches.")).to_be_visible()
    assert panel.complaints == []


def test_it_works_without_script(
    web: Web, chromium: Browser, alice: User, public_address: PublicAddress
) -> None:
    page = chromium.new_page(java_script_enabled=False)
    page.goto(web.address)
    page.get_by_label("Username").fill("alice")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="Networks").first.click()
    page.get_by_role("link", name="New network").first.click()
    page.get_by_label("Name").fill("plain")
    page.get_by_role("button", name="Create network").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("plain")
    page.close()
