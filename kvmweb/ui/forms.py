"""Forms that end in one action, and show its refusal under the field it is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django import forms
from django.core.exceptions import ValidationError

from kvmweb.core.errors import Conflict, Invalid, KvmwebError
from kvmweb.core.text import parse_label
from kvmweb.hosts.ask import HostSilent
from kvmweb.hosts.preview import PreviewOf, preview

DRY_RUN = "dry_run"

R = TypeVar("R")


class ActionForm(forms.Form):
    """A form whose fields are named as the action's errors name them.

    `status` is the HTTP status of the page that shows the form again. Sent with `dry_run`, it tells
    in `preview` what the action would do, or in `preview_error` why that is not known, and is shown
    again as if refused: nothing was done.
    """

    status = 200
    preview: list[PreviewOf] | None = None
    preview_error: KvmwebError | None = None

    def submit(self, action: Callable[[dict[str, Any]], R]) -> R | None:
        """What `action` made of the cleaned data; None when the form has to be shown again."""
        if not self.is_valid():
            self.status = 400
            return None
        try:
            if self.data.get(DRY_RUN) is None:
                return action(self.cleaned_data)
            self.preview = preview(lambda: action(self.cleaned_data))
        except (Invalid, Conflict) as error:
            self.refuse(error)
        except HostSilent as error:
            self.preview_error = error
        return None

    def done(self, action: Callable[[dict[str, Any]], object]) -> bool:
        """Whether `action` was carried out; if not, the form has to be shown again."""
        return self.submit(action) is not None

    def refuse(self, error: KvmwebError) -> None:
        """Show an action's error under its field, or above the form when it has none here."""
        self.status = error.status
        text = f"{error.message} {error.remedy}".strip()
        self.add_error(error.field if error.field in self.fields else None, text)


class NameField(forms.CharField):
    """A host name label."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("label", "Name")
        super().__init__(**options)
        self.widget.attrs |= {
            "pattern": "[a-z0-9]([a-z0-9\\-]{0,61}[a-z0-9])?",
            "title": "1 to 63 of a-z, 0-9 and -, with a letter or digit at both ends.",
            "autocomplete": "off",
            "autocapitalize": "none",
            "spellcheck": "false",
        }

    def clean(self, value: Any) -> str:
        text = super().clean(value)
        if not text:
            return ""
        try:
            return parse_label(text)
        except Invalid as error:
            raise ValidationError(f"{error.message} {error.remedy}") from error


class PortField(forms.IntegerField):
    """A TCP or UDP port."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=1, max_value=65535, **options)
        self.widget.attrs["inputmode"] = "numeric"
