"""Forms of the page that says what a VM starts from."""

from __future__ import annotations

from typing import Any

from django import forms

from kvmweb.ui.forms import ActionForm
from vms.models import Image


class _OfImages(ActionForm):
    image = forms.ChoiceField()

    def __init__(self, *args: Any, images: list[Image], **options: Any) -> None:
        super().__init__(*args, **options)
        choices = [(str(image.uuid), str(image)) for image in images]
        self.fields["image"].choices = choices  # type: ignore[attr-defined]


class IsoForm(_OfImages):
    pass


class RescueForm(_OfImages):
    force = forms.BooleanField(
        label="Cut the guest off",
        required=False,
        help_text="Instead of asking it to shut down; what it has not written is lost.",
    )


class EndRescueForm(ActionForm):
    force = forms.BooleanField(label="Cut the rescue system off", required=False)


class OrderForm(ActionForm):
    """What is tried first; the others follow as they are listed."""

    first = forms.ChoiceField(label="Start from")

    def __init__(self, *args: Any, known: dict[str, str], **options: Any) -> None:
        super().__init__(*args, **options)
        self._known = known
        choices = [(name, words[0].upper() + words[1:]) for name, words in known.items()]
        self.fields["first"].choices = choices  # type: ignore[attr-defined]

    def order(self) -> list[str]:
        first = self.cleaned_data["first"]
        return [first, *(name for name in self._known if name != first)]

    def refuse(self, error: Any) -> None:
        error.field = "first" if error.field == "order" else error.field
        super().refuse(error)
