"""What a host answers at once, on the page: filled previews and connections, in every look."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User

from kvmweb.hosts.models import Host
from networks.models import Network
from tests.asking import answering
from tests.browser.conftest import Panel
from tests.browser.test_look import LOOKS, examine, shoot
from tests.lab.broker import Broker
from tests.networks.test_flow_doors import FLOW
from tests.networks.test_refused_doors import ONE

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

STEPS = [
    {
        "sentence": "Opened TCP 198.51.100.11:20022",
        "detail": [
            f"+ inet fwd4 {{ 198.51.100.11 . tcp . {n} : 10.60.0.2 . 22 }}" for n in range(9)
        ],
    },
    {"sentence": "Changed the definition of home-web-1; takes effect when it next starts"},
]
PLAN = {"steps": STEPS, "guests": ["web-1", "web-2"], "refused": {"x": "The host listens there."}}
FLOW6 = FLOW | {
    "id": "0000002b",
    "source": "2001:db8:aaaa:bbbb:cccc:dddd:eeee:1",
    "destination": "fd12:3456:789a:1::2",
    "answers": "fd12:3456:789a:1::2",
    "seen_as": "2001:db8:aaaa:bbbb:cccc:dddd:eeee:1",
    "bytes_out": None,
    "replied": False,
}
LABEL = "filter_FORWARD_POLICIES_of_a_zone_with_a_long_name"
WAY = [
    {"key": "address", "title": "The public address is on the host", "verdict": "ok"}
    | {"found": "The host has 198.51.100.11."},
    {"key": "dns", "title": "Guests are told a name server", "verdict": "unknown"}
    | {"found": "It was not tried."},
    {
        "key": f"chain:inet firewalld {LABEL}",
        "title": f"Chain inet firewalld {LABEL} lets it through",
    }
    | {"verdict": "broken", "found": "This chain of another firewall drops the packet."}
    | {"wanted": "An accept for kw* before whatever drops.", "mend": "repair"}
    | {"remedy": "firewall-cmd --permanent --zone=trusted --add-interface=kw0123456789ab"}
    | {"detail": f"inet firewalld {LABEL}: reject with icmpx admin-prohibited"},
    {"key": "arp", "title": "The guest answers for its address", "verdict": "broken"}
    | {"found": "Nobody answers an ARP request for 10.60.0.2.", "wanted": "An answer."}
    | {"remedy": "See on its console whether the guest is up."},
]
REFUSED = [
    ONE | {"guest": "", "reason": "source"},
    ONE | {"guest": "", "reason": "limit", "source": ""},
    ONE
    | {"guest": "", "reason": "egress", "source": FLOW6["destination"], "port": 443}
    | {"destination": FLOW6["source"]},
]


@pytest.fixture
def _host_answers(host: Host, tmp_path_factory: Any, settings: LazySettings) -> Iterator[None]:
    folder: Path = tmp_path_factory.mktemp("asked")
    broker = Broker(folder)
    broker.start()
    settings.REDIS_URL = f"unix://{broker.socket}"
    shown = [{"direction": "in", "forward": "", "flow": each} for each in (FLOW, FLOW6)]
    with answering(
        host,
        broker,
        {
            "plan network": lambda _: PLAN,
            "plan vm": lambda _: PLAN,
            "explain": lambda _: WAY,
            "flows": lambda _: {"total": 2, "searched": 2, "flows": shown},
            "refused": lambda _: {"logs": True, "total": 3, "refused": REFUSED},
        },
    ):
        yield
    broker.stop()


@pytest.mark.usefixtures("_host_answers")
@pytest.mark.parametrize("look", LOOKS)
def test_answers_of_the_host_are_fit_to_be_seen(
    look: str, panel: Panel, pages: dict[str, str], olga: User
) -> None:
    theme, size, rules = LOOKS[look]
    panel.use_theme(theme)
    panel.resize(*size)
    panel.log_in(olga)
    wrong: list[str] = []
    for name in ("forward", "vm-delete", "network-services"):
        panel.open(pages[name])
        panel.page.get_by_role("button", name="Preview").click()
        panel.page.get_by_text("Nothing was done yet.").first.wait_for()
        panel.page.get_by_text("Details").first.click()
        shoot(panel, f"{name}-preview-{look}")
        wrong += examine(panel, f"{name} preview", *rules)
    for name in ("host-name-why", "peering-why", "outside-why"):
        panel.open(pages[name])
        panel.page.get_by_text("It stops here").wait_for()
        panel.page.get_by_text("What comes after it").click()
        shoot(panel, f"{name}-answered-{look}")
        wrong += examine(panel, f"{name} answered", *rules)
    panel.open(pages["forward-flows"])
    panel.page.get_by_text("2 connections", exact=True).wait_for()
    shoot(panel, f"flows-{look}")
    wrong += examine(panel, "flows", *rules)
    Network.objects.update(logs_refused=True)
    panel.open(pages["network-refused"])
    panel.page.get_by_text("3 kinds of packets").wait_for()
    shoot(panel, f"refused-{look}")
    wrong += examine(panel, "refused", *rules)
    assert wrong + panel.complaints == []
