"""The small parts every page is made of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import template
from django.forms import BoundField, CheckboxInput, RadioSelect, Select, Textarea
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from kvmweb.core.choices import State
from kvmweb.jobs.models import Status
from kvmweb.projects.models import AuditEvent

register = template.Library()


@register.simple_tag
def icon(name: str, classes: str = "") -> SafeString:
    """An icon of the sprite; it says nothing that the words beside it do not say."""
    return format_html(
        '<svg class="icon {}" aria-hidden="true" focusable="false"><use href="{}#{}"/></svg>',
        classes,
        static("icons.svg"),
        name,
    )


@register.simple_tag
def badge(shown: State | str) -> SafeString:
    """A state, or a job's status, by word, colour and shape."""
    state = Status(shown) if isinstance(shown, str) else shown
    return format_html(
        '<span class="state state-{}">{}{}</span>', state.tone, icon(state.icon), state.label
    )


@register.simple_tag
def ago(at: datetime | None, never: str = "never") -> SafeString:
    """A moment as people say it; the script keeps it true and puts the exact time on hover."""
    if at is None:
        return format_html("{}", never)
    return format_html(
        '<time datetime="{}" title="{} UTC" data-ago>{}</time>',
        at.isoformat(),
        at.strftime("%Y-%m-%d %H:%M:%S"),
        _since(at),
    )


@register.simple_tag
def ahead(at: datetime) -> SafeString:
    """A moment to come as people say it, with the exact one on hover."""
    exact = at.strftime("%Y-%m-%d %H:%M:%S")
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>', at.isoformat(), exact, _until(at)
    )


def _until(at: datetime) -> str:
    """Rounded down, so that nobody waits for what is over."""
    seconds = (at - timezone.now()).total_seconds()
    for unit, size in (("day", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            count = int(seconds // size)
            return f"in {count} {unit}{'s' if unit == 'day' and count > 1 else ''}"
    return "in a moment"


def _since(at: datetime) -> str:
    seconds = (timezone.now() - at).total_seconds()
    for unit, size in (("day", 86_400), ("hr.", 3600), ("min.", 60)):
        if seconds >= size:
            count = int(seconds // size)
            plural = "s" if unit == "day" and count > 1 else ""
            return f"{count} {unit}{plural} ago"
    return "just now"


@register.simple_tag
def copy(text: object, shown: object = "") -> SafeString:
    """Text in monospace that a click copies."""
    return format_html(
        '<button type="button" class="copy mono" data-copy="{}" title="Copy">'
        '<span class="copy-text">{}</span>{}{}</button>',
        text,
        shown or text,
        icon("copy", "copy-idle"),
        icon("check", "copy-done"),
    )


@register.filter
def duration(milliseconds: object) -> str:
    """A length of time with the unit that suits it; empty where none was measured."""
    if not isinstance(milliseconds, int) or milliseconds <= 0:
        return ""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    minutes, rest = divmod(round(milliseconds / 1000), 60)
    return f"{minutes} min {rest} s"


@register.filter
def mib(amount: int | None) -> str:
    """Mebibytes with the unit that suits them."""
    if amount is None:
        return "unknown"
    if amount >= 10_240:
        return f"{round(amount / 1024, 1):g} GiB"
    return f"{amount / 1024:g} GiB" if amount >= 1024 and amount % 256 == 0 else f"{amount} MiB"


@register.filter
def size(amount: int) -> str:
    """Bytes in binary units."""
    value = float(amount)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


@register.inclusion_tag("ui/_field.html")
def field(bound: BoundField, unit: str = "", classes: str = "") -> dict[str, Any]:
    """A form field with its label, unit, help and errors tied together for every reader."""
    return {
        "bound": bound,
        "widget": _widget(bound),
        "unit": unit,
        "classes": classes,
        "is_check": isinstance(bound.field.widget, CheckboxInput),
        "is_group": isinstance(bound.field.widget, RadioSelect),
        "is_optional": not (bound.field.required or getattr(bound.field, "is_wanted", False)),
    }


def _widget(bound: BoundField) -> SafeString:
    kind = bound.field.widget
    look = "form-control"
    if isinstance(kind, RadioSelect):  # each choice is an input of its own
        kind.attrs["class"] = "form-check-input"
        return SafeString()
    if isinstance(kind, CheckboxInput):
        look = "form-check-input"
    elif isinstance(kind, Select):
        look = "form-select"
    attributes: dict[str, str | bool] = {"class": f"{look} {kind.attrs.get('class', '')}".strip()}
    described = [f"{bound.auto_id}-help"] if bound.help_text else []
    if bound.errors:
        described.append(f"{bound.auto_id}-error")
        attributes["aria-invalid"] = "true"
    if described:
        attributes["aria-describedby"] = " ".join(described)
    if isinstance(kind, Textarea):
        attributes.setdefault("rows", str(kind.attrs.get("rows", 4)))
    return bound.as_widget(attrs=attributes)


@register.filter
def get(mapping: Mapping[str, Any], key: str) -> Any:
    """What a mapping has under a key known only when the page is made."""
    return mapping.get(key)


DEEDS = {
    "create": "made",
    "change": "changed",
    "delete": "deleted",
    "rename": "renamed",
    "repair": "had repaired",
    "check": "had checked",
    "start": "started",
    "stop": "stopped",
    "force_off": "pulled the plug of",
    "revoke": "revoked",
    "open_console": "opened the console of",
    "take_console": "took over the console of",
}
KINDS = {"vm": "VM", "reservation": "address", "panel": "panel name"}


@register.filter
def deed(event: AuditEvent) -> str:
    """What somebody did, as the middle of a sentence: `made VM`."""
    kind, _, verb = event.action.partition(".")
    return f"{DEEDS.get(verb, verb.replace('_', ' '))} {KINDS.get(kind, kind.replace('_', ' '))}"
