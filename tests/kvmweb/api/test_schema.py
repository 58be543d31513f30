"""The schema is complete, checked in as it is, and readable under the panel's strict CSP."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import Client

from kvmweb.api.urls import router
from kvmweb.ui.apps import ShippedFilesConfig

pytestmark = [pytest.mark.db, pytest.mark.django_db]

CHECKED_IN = Path(__file__).parents[3] / "docs" / "openapi.yaml"


@pytest.fixture(scope="module")
def schema() -> Any:
    out = StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=out)
    return yaml.safe_load(out.getvalue())


def test_the_schema_is_checked_in_as_it_is(schema: Any) -> None:
    assert schema == yaml.safe_load(CHECKED_IN.read_text()), (
        "Run: manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml"
    )


def test_every_route_and_its_problems_are_described(schema: Any) -> None:
    assert schema["openapi"].startswith("3.1")
    described = {(path, method) for path, ways in schema["paths"].items() for method in ways}
    routes = [method for pattern in router.urls for method in pattern.callback.actions]  # type: ignore[union-attr]
    assert len(described) == len([method for method in routes if method != "head"])
    for ways in schema["paths"].values():
        for method, operation in ways.items():
            assert {"400", "401", "404", "405", "429"} <= set(operation["responses"])
            assert operation["description"]
            if method == "post":
                names = {parameter["name"] for parameter in operation["parameters"]}
                assert "Idempotency-Key" in names


def test_nothing_in_the_schema_leads_nowhere(schema: Any) -> None:
    text = yaml.dump(schema)
    for kind, name in set(re.findall(r"#/components/(\w+)/(\w+)", text)):
        assert name in schema["components"][kind]


def test_it_is_served_as_it_is_checked_in(client: Client, schema: Any) -> None:
    served = client.get("/api/v1/schema/", headers={"accept": "application/json"})
    assert served.json() == schema


def test_the_readable_form_needs_nothing_that_the_csp_forbids(client: Client) -> None:
    page = client.get("/api/v1/docs/")
    policy = page.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    text = page.content.decode()
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*\ssrc=)", text)
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", text)
    for path in re.findall(r"""(?:src|href)=["']/static/([^"']+)""", text):
        assert finders.find(re.sub(r"\.[0-9a-f]{12}(?=\.)", "", path)), path


def test_only_the_reader_that_is_used_is_shipped() -> None:
    assert {"redoc", "rest_framework"} <= set(ShippedFilesConfig.ignore_patterns)
