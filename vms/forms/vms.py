"""Forms of VMs; their fields are named as the actions' errors."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q

from kvmweb.core.errors import KvmwebError
from kvmweb.hosts.models import PublicAddress
from kvmweb.ui.forms import DRY_RUN, ActionForm, NameField, PortField
from networks.forms.choices import AddressField, project_choices
from networks.models import Forward, Network
from vms.actions import NewForward, NewNetwork, NewVm
from vms.forms.flavours import SizedForm
from vms.forms.keys import AccessForm
from vms.models import Flavour, Image, SshKey

NEW = "new"


class ForwardRow(forms.Form):
    """One door of a new VM. An unticked row is not asked for."""

    enabled = forms.BooleanField(required=False)
    target_port = PortField(label="Port of the VM", required=False)
    protocol = forms.ChoiceField(choices=Forward.Protocol.choices, required=False)
    public_port = PortField(label="Public port", required=False)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if (
            data.get("enabled")
            and not data.get("target_port")
            and not self.has_error("target_port")
        ):
            raise ValidationError({"target_port": "Which port of the VM?"})
        return data

    def wanted(self) -> NewForward:
        data = self.cleaned_data
        return NewForward(
            target_port=data["target_port"],
            protocol=data["protocol"] or Forward.Protocol.TCP,
            public_port=data["public_port"],
        )


ForwardRows = forms.formset_factory(ForwardRow, extra=0, max_num=20, validate_max=True)


class NewVmForm(AccessForm, SizedForm):
    """All of a new VM on one page, with its network and doors."""

    name = NameField()
    image = forms.ChoiceField(widget=forms.RadioSelect)
    vcpus = forms.IntegerField(label="vCPUs", min_value=1, max_value=64, initial=1)
    memory_mib = forms.IntegerField(label="Memory", min_value=64, initial=512)
    disk_gib = forms.IntegerField(
        label="Disk", min_value=1, required=False, help_text="Empty takes what the image needs."
    )
    network = forms.ChoiceField()
    more_networks = forms.MultipleChoiceField(
        label="More networks",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="A further NIC on each.",
    )
    network_name = NameField(label="Name of the new network", required=False)
    ipv4_subnet = forms.CharField(
        label="IPv4 subnet", required=False, help_text="Empty takes a free one."
    )
    own_router = forms.BooleanField(
        label="Own router",
        required=False,
        help_text="So the subnet may be one that other networks have too. Without IPv6 and peers.",
    )
    public_address = AddressField()
    project = forms.ChoiceField(label="Project of the new network", required=False)

    def __init__(
        self,
        *args: Any,
        projects: list[Any],
        networks: list[Network],
        images: list[Image],
        addresses: list[PublicAddress],
        keys: list[SshKey],
        flavours: list[Flavour],
        limited: bool,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.rows = ForwardRows(self.data or None, prefix="forwards", initial=DOORS)
        for row in self.rows.forms:
            # A row sent as it was proposed is asked for all the same.
            row.empty_permitted = False
        self._images = {str(image.uuid): image for image in images}
        self._choose("image", [(uuid, image.name) for uuid, image in self._images.items()])
        self.offer_keys(keys)
        self.offer_flavours(flavours, limited=limited)
        known = [(str(network.uuid), _words(network, len(projects))) for network in networks]
        self._choose("network", [*known, (NEW, "A new network")])
        self._choose("more_networks", known)
        if not known:
            del self.fields["more_networks"]
        self._choose("project", project_choices(projects))
        if len(projects) < 2:
            del self.fields["project"]
        if not self.fields["public_address"].offer(addresses):  # type: ignore[attr-defined]
            del self.fields["public_address"]
        self._default_project = str(projects[0].uuid)

    def _choose(self, field: str, choices: list[tuple[str, str]]) -> None:
        self.fields[field].choices = choices  # type: ignore[attr-defined]

    def is_valid(self) -> bool:
        return super().is_valid() & (not self.is_bound or self.rows.is_valid())

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("network") == NEW and not self.has_error("network_name"):
            self._check_network_name(data)
        return data

    def _check_network_name(self, data: dict[str, Any]) -> None:
        """The action calls both names `name`; what is wrong with the network's is found here."""
        name = data.get("network_name")
        if not name:
            self.add_error("network_name", "The new network needs a name.")
        project = data.get("project") or self._default_project
        if Network.objects.filter(Q(project__uuid=project, name=name, present=True)).exists():
            self.add_error("network_name", f"There is a network “{name}” in this project.")

    def wanted(self) -> NewVm:
        """The cleaned form as the action takes it."""
        data = self.cleaned_data
        fresh = data["network"] == NEW
        network = NewNetwork(
            name=data["network_name"],
            ipv4_subnet=data["ipv4_subnet"],
            own_router=data["own_router"],
        )
        return NewVm(
            name=data["name"],
            network=network if fresh else data["network"],
            more_networks=data.get("more_networks", []),
            image=data["image"],
            **self.size("vcpus", "memory_mib", "disk_gib"),
            **self.access(self._images[data["image"]]),
            forwards=[row.wanted() for row in self._asked_for()],
            public_address=data.get("public_address"),
            project=(data.get("project") or self._default_project) if fresh else None,
        )

    def _asked_for(self) -> list[ForwardRow]:
        return [row for row in self.rows.forms if row.cleaned_data.get("enabled")]

    def refuse(self, error: KvmwebError) -> None:
        """Errors of doors go under their row, counted among those that were asked for."""
        if not error.field.startswith("forwards."):
            error.field = NETWORK_FIELDS.get(error.field, error.field)
            return super().refuse(error)
        self.status = error.status
        _, index, field = (*error.field.split("."), "")[:3]
        row = self._asked_for()[int(index)]
        row.add_error(
            field if field in row.fields else None, f"{error.message} {error.remedy}".strip()
        )
        return None


# What the action calls the fields of a network made with the VM, and their names in the form.
NETWORK_FIELDS = {
    "network.name": "network_name",
    "network.ipv4_subnet": "ipv4_subnet",
    "network.own_router": "own_router",
}


def _words(network: Network, projects: int) -> str:
    """A network as a choice, with its project where there is more than one."""
    words = f"{network} ({network.place})"
    return f"{words}, {network.project}" if projects > 1 else words


DOORS = [
    {"enabled": True, "target_port": 22, "protocol": "tcp"},
    {"enabled": False, "target_port": 80, "protocol": "tcp"},
]


class SizeForm(SizedForm):
    name = NameField(
        help_text="Its networks know it by it at once, the guest itself when it next starts."
    )
    vcpus = forms.IntegerField(label="vCPUs", min_value=1, max_value=64)
    memory_mib = forms.IntegerField(label="Memory", min_value=64)
    autostart = forms.BooleanField(
        label="Start it when its host was off", required=False, help_text="If it ran before."
    )
    field_order = ("name", "flavour")

    def __init__(self, *args: Any, flavours: list[Flavour], limited: bool, **options: Any) -> None:
        super().__init__(*args, **options)
        self.offer_flavours(flavours, limited=limited)
        if limited:
            self.fields["flavour"].required = False
            kept = [("", "Its size as it is"), *self.fields["flavour"].choices]  # type: ignore[attr-defined]
            self.fields["flavour"].choices = kept  # type: ignore[attr-defined]

    def change(self) -> dict[str, Any]:
        """The cleaned form as the action takes it."""
        kept = {name: self.cleaned_data[name] for name in ("name", "autostart")}
        return kept | self.size("vcpus", "memory_mib")


class DeleteForm(ActionForm):
    """Data is lost with a VM's disks, so its name is typed; not to see what would happen."""

    name = forms.CharField(label="Type the name of the VM to delete it")

    def __init__(self, *args: Any, expected: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._expected = expected
        self.fields["name"].widget.attrs |= {"autocomplete": "off", "autocapitalize": "none"}
        self._only_asks = DRY_RUN in self.data
        self.fields["name"].required = not self._only_asks

    def clean_name(self) -> str:
        typed = str(self.cleaned_data["name"]).strip()
        if typed != self._expected and not self._only_asks:
            raise ValidationError(f"That is not “{self._expected}”.")
        return typed


class RebuildForm(DeleteForm):
    """It loses the first disk, so the VM's name is typed too."""

    image = forms.ChoiceField()
    field_order = ("image", "name")

    def __init__(self, *args: Any, images: list[Image], **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["name"].label = "Type the name of the VM to rebuild it"
        choices = [(str(image.uuid), str(image)) for image in images]
        self.fields["image"].choices = choices  # type: ignore[attr-defined]


class CloneForm(ActionForm):
    name = NameField(label="Name of the new VM")
    start = forms.BooleanField(label="Start it when it is made", required=False, initial=True)


class DiskForm(ActionForm):
    size_gib = forms.IntegerField(label="Size", min_value=1)


class NicForm(ActionForm):
    network = forms.ChoiceField()

    def __init__(self, *args: Any, networks: list[Network], **options: Any) -> None:
        super().__init__(*args, **options)
        choices = [(str(network.uuid), _words(network, 1)) for network in networks]
        self.fields["network"].choices = choices  # type: ignore[attr-defined]


class GoneForm(ActionForm):
    """What is taken away is lost, so it is ticked."""

    sure = forms.BooleanField(error_messages={"required": "Tick that it may be lost."})
