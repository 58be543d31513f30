"""What serializers are made of."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address
from typing import Any
from uuid import UUID

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from kvmweb.core.choices import State


class Body(serializers.Serializer[Any]):
    """What a request may carry. A field it does not know is refused by name, not ignored."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            self._refuse_unknown(data)
        self._name_choices()
        return super().to_internal_value(data)

    def _name_choices(self) -> None:
        """A wrong choice is answered with the right ones."""
        for field in self.fields.values():
            if isinstance(field, serializers.ChoiceField):
                words = ", ".join(str(choice) for choice in field.choices)
                said = f"“{{input}}” is none of the choices: {words}."
                field.error_messages["invalid_choice"] = said

    def _refuse_unknown(self, data: dict[str, Any]) -> None:
        known = [name for name, field in self.fields.items() if not field.read_only]
        words = f"One of: {', '.join(known)}." if known else "This takes no fields."
        unknown = {
            name: [serializers.ErrorDetail(f"There is no such field. {words}", "unknown_field")]
            for name in data
            if name not in known
        }
        if unknown:
            raise serializers.ValidationError(unknown)


class Nothing(Body):
    """The body of a request that says everything by its address."""


class PortField(serializers.IntegerField):
    """A TCP or UDP port."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=1, max_value=65535, **options)


class AddressField(serializers.CharField):
    """A public address of the host, by its id or as it is written. Who may use it is asked by the
    action."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=45, **options)

    def to_internal_value(self, data: Any) -> str:
        text: str = super().to_internal_value(data).strip()
        for kind in (UUID, ip_address):
            with suppress(ValueError):
                return str(kind(text))
        raise serializers.ValidationError("Give an address such as 198.51.100.7, or its id.")


class Filters(filters.FilterSet):  # type: ignore[misc]
    """The query parameters of a list."""


@extend_schema_field({"type": "string", "enum": [state.value for state in State]})
class StateField(serializers.Field[Any, Any, str, Any]):
    """What an object is doing: derived from intent, what its host saw, and its newest job."""

    def __init__(self, **options: Any) -> None:
        super().__init__(read_only=True, **options)

    def to_representation(self, value: State) -> str:
        return str(value.value)


class Shown(serializers.Serializer[Any]):
    """What an answer shows: nothing in it can be written."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        for field in fields.values():
            field.read_only, field.required = True, False
        return fields
