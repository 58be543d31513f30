"""Every change can be asked before it is made; what cannot is listed here with the reason."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.pure

ROOT = Path(__file__).parents[3]
PANEL_ONLY = "changes rows of the panel alone, no host"
LIBRARY_ONLY = "is work of the panel's image library, no host has a part in it"
NOT_ASKED = {
    ("post", "/projects/"): PANEL_ONLY,
    ("post", "/flavours/"): PANEL_ONLY,
    ("patch", "/flavours/{uuid}/"): PANEL_ONLY,
    ("delete", "/flavours/{uuid}/"): PANEL_ONLY,
    ("post", "/ssh-keys/"): PANEL_ONLY,
    ("delete", "/ssh-keys/{uuid}/"): PANEL_ONLY,
    ("post", "/images/"): LIBRARY_ONLY,
    ("post", "/images/upload/"): LIBRARY_ONLY,
    ("patch", "/images/{uuid}/content/"): LIBRARY_ONLY,
    ("delete", "/images/{uuid}/"): LIBRARY_ONLY,
    ("patch", "/images/{uuid}/"): PANEL_ONLY,
    ("post", "/images/{uuid}/deprecate/"): PANEL_ONLY,
    ("post", "/images/{uuid}/offer/"): PANEL_ONLY,
    ("post", "/networks/{uuid}/check/"): "it is a question itself",
    ("post", "/vms/{uuid}/check/"): "it is a question itself",
    ("post", "/networks/{uuid}/repair/"): "`check` says what it would do",
    ("post", "/vms/{uuid}/repair/"): "`check` says what it would do",
    ("delete", "/forwards/{uuid}/flows/"): "the list says what it would end",
    ("delete", "/networks/{uuid}/flows/"): "the list says what it would end",
    ("delete", "/vms/{uuid}/flows/"): "the list says what it would end",
    ("post", "/vms/{uuid}/consoles/"): PANEL_ONLY,
    ("post", "/vms/{uuid}/take-console/"): PANEL_ONLY,
    ("patch", "/hosts/{uuid}/"): PANEL_ONLY,
    ("post", "/hosts/{uuid}/remedy/"): "the finding says what it runs",
    ("post", "/jobs/{uuid}/retry/"): "`check` of its object says what it would do",
}
NOT_SHOWN = {
    "firewall/rule_set_new.html": PANEL_ONLY,
    "firewall/address_set_new.html": PANEL_ONLY,
    "flavours/flavour.html": PANEL_ONLY,
    "flavours/flavours.html": PANEL_ONLY,
    "keys/keys.html": PANEL_ONLY,
    "vms/image_new.html": LIBRARY_ONLY,
    "vms/image_upload.html": LIBRARY_ONLY,
    "vms/image_delete.html": LIBRARY_ONLY,
    "vms/image_settings.html": PANEL_ONLY,
}


def changes() -> dict[tuple[str, str], Any]:
    paths = yaml.safe_load((ROOT / "docs/openapi.yaml").read_text())["paths"]
    return {
        (method, path.removeprefix("/api/v1")): operation
        for path, ways in paths.items()
        for method, operation in ways.items()
        if method != "get"
    }


def test_every_change_takes_dry_run() -> None:
    found = changes()
    deaf = {
        key
        for key, operation in found.items()
        if "dry_run" not in {one["name"] for one in operation.get("parameters", ())}
    }
    assert deaf == NOT_ASKED.keys()


@pytest.mark.parametrize("app", ["networks", "vms"])
def test_every_form_has_a_preview(app: str) -> None:
    folder = ROOT / app / "templates"
    for file in sorted(folder.rglob("*.html")):
        name = str(file.relative_to(folder))
        text = file.read_text()
        forms = re.findall(
            r"<form [^>]*method=\"post\"(?:(?!</form>).)*class=\"form-end\".*?</form>",
            text,
            re.DOTALL,
        )
        if name not in NOT_SHOWN and forms:
            assert text.count("ui/_preview_button.html") == len(forms), name
            assert "ui/_preview.html" in text, name
