"""REST: VMs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.dry_run import previewed
from kvmweb.api.fields import AddressField, Body, Filters, Nothing, PortField, Shown, StateField
from kvmweb.api.metrics import metrics_answer, shows_metrics
from kvmweb.api.once import once, tell_once
from kvmweb.api.schema import starts, takes
from kvmweb.api.views import Resource, actor_of, user_of
from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict, Invalid
from kvmweb.jobs.api import JobWithSteps, started
from networks.api.flows import ended, ends_flows, listing, lists_flows
from networks.api.refused import lists_refused, refused_listing
from networks.api.why import TryingGuest, explains_guest, query, shown
from networks.flows import Of, is_tracked, of_guest
from networks.models import Forward, Network
from networks.ports import LARGEST_PORT
from networks.refused import is_filtered
from networks.why import why_guest
from vms import actions
from vms.api.consoles import (
    ConsoleOffered,
    ConsoleShown,
    NewConsole,
    OneConsole,
    lists_consoles,
    offered,
    pictured,
    shows_picture,
)
from vms.guest import LONGEST_PASSWORD, new_password
from vms.metrics import thing_of
from vms.models import Vm

# What a PositiveIntegerField of PostgreSQL holds; real limits are the host's and the image's.
LARGEST = 2**31 - 1


class NicShown(Shown):
    id = serializers.UUIDField(source="uuid")
    network = serializers.UUIDField(source="reservation.network.uuid")
    reservation = serializers.UUIDField(source="reservation.uuid")
    mac = serializers.CharField(source="reservation.mac")
    address = serializers.CharField(
        source="reservation.address", allow_null=True, help_text="null in a bridged network."
    )
    address6 = serializers.CharField(
        source="reservation.address6", help_text="Follows from the MAC; empty without IPv6."
    )


class DiskShown(Shown):
    id = serializers.UUIDField(source="uuid")
    size_gib = serializers.IntegerField()


class OpenPortShown(Shown):
    id = serializers.UUIDField(source="uuid")
    protocol = serializers.ChoiceField(Forward.Protocol.choices)
    public_endpoint = serializers.CharField()
    public_port = serializers.IntegerField()
    target_port = serializers.IntegerField()


class VmShown(Shown):
    id = serializers.UUIDField(source="uuid")
    name = serializers.CharField()
    project = serializers.UUIDField(source="project.uuid")
    host = serializers.UUIDField(source="host.uuid")
    image = serializers.UUIDField(source="image.uuid")
    flavour = serializers.UUIDField(
        source="flavour.uuid", allow_null=True, default=None, help_text="Where its size is from."
    )
    vcpus = serializers.IntegerField()
    memory_mib = serializers.IntegerField()
    disks = DiskShown(many=True)
    nics = NicShown(many=True)
    iso = serializers.UUIDField(
        source="iso.uuid", allow_null=True, default=None, help_text="What is in its drive."
    )
    rescue = serializers.UUIDField(
        source="rescue.uuid",
        allow_null=True,
        default=None,
        help_text="The image it is being rescued with.",
    )
    boot_order = serializers.ListField(
        child=serializers.CharField(), help_text="Empty: from its first disk."
    )
    ssh_keys = serializers.ListField(child=serializers.CharField())
    login_user = serializers.CharField(source="login", help_text="Whom keys and password open.")
    has_password = serializers.SerializerMethodField(help_text="Whether it was made with one.")
    power = serializers.ChoiceField(Vm.Power.choices, help_text="What was asked for.")
    autostart = serializers.BooleanField(help_text="It comes back when its host was off.")
    state = StateField()
    power_reason = serializers.CharField(help_text="Why it is in this state, if the host knows.")
    goes_at = serializers.DateTimeField(
        allow_null=True, help_text="When it goes for good; null unless it is in the bin."
    )
    restart_needed = serializers.BooleanField(help_text="A change waits for the next start.")
    address = serializers.CharField(help_text="The address of the first NIC; may be empty.")
    forwards = OpenPortShown(many=True, source="open_forwards")
    host_names = serializers.SerializerMethodField(help_text="Names that lead to it.")
    public_endpoint = serializers.SerializerMethodField(help_text="The first of them, or null.")
    public_endpoints = serializers.SerializerMethodField()
    job = serializers.UUIDField(source="job.uuid", allow_null=True, help_text="The newest job.")
    created_at = serializers.DateTimeField()

    def get_has_password(self, vm: Vm) -> bool:
        return bool(vm.password_hash)

    def get_host_names(self, vm: Vm) -> list[str]:
        return [name.name for name in vm.served_names]

    def get_public_endpoint(self, vm: Vm) -> str | None:
        return next(iter(self.get_public_endpoints(vm)), None)

    def get_public_endpoints(self, vm: Vm) -> list[str]:
        if vm.goes_at is not None:
            return []
        return [forward.public_endpoint for forward in vm.open_forwards if not forward.paused]


class VmMade(VmShown):
    password = serializers.CharField(
        allow_null=True, help_text="The one that was made; told this once, and null when repeated."
    )


class NetworkOfVm(Body):
    """A network to be made together with the VM."""

    name = serializers.CharField()
    ipv4_subnet = serializers.CharField(default="", allow_blank=True)
    mode = serializers.ChoiceField(Network.Mode.choices, default=Network.Mode.NAT)
    own_router = serializers.BooleanField(default=False)


_MODES = [mode for mode in Network.Mode.values if mode != Network.Mode.BRIDGED]


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "format": "uuid"},
            {
                "type": "object",
                "description": "A network to be made together with the VM.",
                "properties": {
                    "name": {"type": "string"},
                    "ipv4_subnet": {"type": "string"},
                    "mode": {"type": "string", "enum": _MODES},
                    "own_router": {
                        "type": "boolean",
                        "description": "The subnet may be one that others of the host have too.",
                    },
                },
                "required": ["name"],
                "additionalProperties": False,
            },
        ]
    }
)
class NetworkField(serializers.Field[Any, Any, Any, Any]):
    """A network's UUID, or a network to be made."""

    def to_internal_value(self, data: Any) -> UUID | actions.NewNetwork:
        if isinstance(data, dict):
            return actions.NewNetwork(**NetworkOfVm().run_validation(data))
        return cast("UUID", serializers.UUIDField().run_validation(data))


class ForwardOfVm(Body):
    """A forward to be opened together with the VM."""

    protocol = serializers.ChoiceField(Forward.Protocol.choices, default=Forward.Protocol.TCP)
    public_port = PortField(
        default=None, allow_null=True, help_text="A free one is picked when absent."
    )
    target_port = PortField(
        default=None, allow_null=True, help_text="A block leads to the same ports when absent."
    )
    ports = serializers.IntegerField(
        default=1, min_value=1, max_value=LARGEST_PORT, help_text="A block of so many in a row."
    )
    note = serializers.CharField(default="", allow_blank=True, max_length=200)


class NewVm(Body):
    name = serializers.CharField(help_text="A host name label: a-z, 0-9 and -.")
    network = NetworkField()
    more_networks = serializers.ListField(
        child=serializers.UUIDField(),
        default=list,
        help_text="Of further NICs, on networks of its project and host.",
    )
    image = serializers.CharField(help_text="An image's UUID or its name.")
    flavour = serializers.UUIDField(
        default=None, allow_null=True, help_text="A size; goes before the numbers."
    )
    vcpus = serializers.IntegerField(default=1, min_value=1, max_value=LARGEST)
    memory_mib = serializers.IntegerField(default=512, min_value=1, max_value=LARGEST)
    disk_gib = serializers.IntegerField(
        default=None,
        allow_null=True,
        min_value=1,
        max_value=LARGEST,
        help_text="As large as the image when absent.",
    )
    keys = serializers.ListField(
        child=serializers.UUIDField(), default=list, help_text="Of the keys that you keep."
    )
    ssh_keys = serializers.ListField(child=serializers.CharField(), default=list)
    login_user = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=32,
        help_text="Another name for the image's own user.",
    )
    password = serializers.CharField(
        default="",
        allow_blank=True,
        trim_whitespace=False,
        write_only=True,
        max_length=LONGEST_PASSWORD,
        help_text="Of that user; only its hash is kept.",
    )
    generate_password = serializers.BooleanField(
        default=False, help_text="Have one made; the answer tells it, once."
    )
    user_data = serializers.CharField(
        default="", allow_blank=True, trim_whitespace=False, help_text="A script or #cloud-config."
    )
    forwards = ForwardOfVm(many=True, default=list)
    public_address = AddressField(
        default=None,
        allow_null=True,
        help_text="Where the forwards listen, by its id or as it is written; the host's default"
        " one when absent.",
    )
    project = serializers.UUIDField(
        default=None, allow_null=True, help_text="The network's, or your own, when absent."
    )
    host = serializers.UUIDField(
        default=None, allow_null=True, help_text="For a VM with a new network."
    )


class VmChange(Body):
    name = serializers.CharField(
        required=False, help_text="Its networks know it at once, the guest at its next start."
    )
    flavour = serializers.UUIDField(
        required=False, help_text="A size; goes before the numbers, and enlarges the first disk."
    )
    vcpus = serializers.IntegerField(required=False, min_value=1, max_value=LARGEST)
    memory_mib = serializers.IntegerField(required=False, min_value=1, max_value=LARGEST)
    autostart = serializers.BooleanField(required=False)


class Rebuild(Body):
    image = serializers.CharField(help_text="An image's UUID or its name.")
    name = serializers.CharField(help_text="The VM's, to confirm that its first disk may go.")


class Clone(Body):
    name = serializers.CharField(help_text="A host name label: a-z, 0-9 and -.")
    start = serializers.BooleanField(default=True)


class OneImage(Body):
    image = serializers.CharField(help_text="An image's UUID or its name.")


class BootOrder(Body):
    order = serializers.ListField(
        child=serializers.CharField(max_length=40),
        max_length=64,
        help_text="Ids of its disks and NICs, and `cdrom`, the first to be tried first.",
    )


class Rescue(OneImage):
    force = serializers.BooleanField(
        default=False, help_text="Cut a running guest off instead of asking it to shut down."
    )


class EndOfRescue(Body):
    force = serializers.BooleanField(default=False)


class NewDisk(Body):
    size_gib = serializers.IntegerField(min_value=1, max_value=LARGEST)


class OneDisk(Body):
    disk = serializers.UUIDField(help_text="One of the VM's disks.")


class LargerDisk(OneDisk):
    size_gib = serializers.IntegerField(min_value=1, max_value=LARGEST)


class NewNic(Body):
    network = serializers.UUIDField()


class OneNic(Body):
    nic = serializers.UUIDField(help_text="One of the VM's NICs.")


class VmFilter(Filters):
    project = filters.UUIDFilter("project__uuid")
    host = filters.UUIDFilter("host__uuid")
    network = filters.UUIDFilter("nics__reservation__network__uuid", distinct=True)
    image = filters.UUIDFilter("image__uuid")
    power = filters.ChoiceFilter(choices=Vm.Power.choices)
    in_bin = filters.BooleanFilter(
        "goes_at", "isnull", exclude=True, help_text="Only those in the recycle bin, or none."
    )
    search = filters.CharFilter("name", "icontains", help_text="Part of the name.")


class Vms(Resource):
    """Virtual machines."""

    model = Vm
    serializer_class = VmShown
    filterset_class = VmFilter

    @previewed
    @takes(NewVm, VmMade)
    @once
    def create(self, request: Request) -> Response:
        """Create a VM; on request its network and forwards with it, or nothing at all."""
        body = self.body(NewVm)
        forwards = [actions.NewForward(**forward) for forward in body.pop("forwards")]
        made = new_password() if body.pop("generate_password") else None
        if made and body["password"]:
            raise Invalid("Give a password or have one made, not both.", field="password")
        body["password"] = made or body["password"]
        wanted = actions.NewVm(**body, forwards=forwards)
        answer = self.accepted(actions.create_vm(actor_of(request), wanted))
        return tell_once(answer, password=made)

    @previewed
    @takes(VmChange, VmShown)
    def partial_update(self, request: Request, uuid: UUID) -> Response:
        """Change a VM; a running guest keeps its size until it is next started."""
        return self.accepted(actions.change_vm(actor_of(request), uuid, **self.change(VmChange)))

    @previewed
    @starts(VmShown)
    def destroy(self, request: Request, uuid: UUID) -> Response:
        """Put a VM into the recycle bin, where it can be taken back for some days."""
        return self.accepted(actions.bin_vm(actor_of(request), uuid))

    @previewed
    @starts(VmShown)
    @action(detail=True, methods=["post"])
    @once
    def restore(self, request: Request, uuid: UUID) -> Response:
        """Take a VM back from the bin, with its forwards and host names; it is off."""
        self.body(Nothing)
        return self.accepted(actions.restore_vm(actor_of(request), uuid))

    @previewed
    @starts(VmShown)
    @action(detail=True, methods=["post"])
    @once
    def purge(self, request: Request, uuid: UUID) -> Response:
        """Delete a VM in the bin for good, with its disks, addresses and forwards."""
        self.body(Nothing)
        return self.accepted(actions.delete_now(actor_of(request), uuid))

    @previewed
    @starts(VmShown)
    @action(detail=True, methods=["post"])
    @once
    def start(self, request: Request, uuid: UUID) -> Response:
        """Start a VM."""
        return self._power(request, uuid, Vm.Power.ON)

    @previewed
    @starts(VmShown)
    @action(detail=True, methods=["post"])
    @once
    def stop(self, request: Request, uuid: UUID) -> Response:
        """Ask the guest to shut down (ACPI)."""
        return self._power(request, uuid, Vm.Power.OFF)

    @previewed
    @starts(VmShown)
    @action(detail=True, methods=["post"], url_path="force-off")
    @once
    def force_off(self, request: Request, uuid: UUID) -> Response:
        """Pull the plug; what the guest has not written to its disk is lost."""
        return self._power(request, uuid, Vm.Power.OFF, force=True)

    @previewed
    @starts(VmShown)
    @action(detail=True, methods=["post"])
    @once
    def pause(self, request: Request, uuid: UUID) -> Response:
        """Hold a running guest where it is; its memory stays in use."""
        return self._power(request, uuid, Vm.Power.PAUSED)

    @previewed
    @starts(VmShown)
    @action(detail=True, methods=["post"])
    @once
    def resume(self, request: Request, uuid: UUID) -> Response:
        """Let a paused guest go on."""
        self.body(Nothing)
        return self.accepted(actions.resume_vm(actor_of(request), uuid))

    @previewed
    @starts(VmShown)
    @action(detail=True, methods=["post"])
    @once
    def save(self, request: Request, uuid: UUID) -> Response:
        """Write a guest's memory to the host's disk and end it; started again, it goes on there."""
        return self._power(request, uuid, Vm.Power.SAVED)

    @previewed
    @starts(VmShown)
    @action(detail=True, methods=["post"])
    @once
    def reboot(self, request: Request, uuid: UUID) -> Response:
        """Ask the guest to shut down (ACPI), then start it with all that waited for it."""
        return self._restart(request, uuid, force=False)

    @previewed
    @starts(VmShown)
    @action(detail=True, methods=["post"])
    @once
    def reset(self, request: Request, uuid: UUID) -> Response:
        """Pull the plug and start the guest; what it has not written to its disk is lost."""
        return self._restart(request, uuid, force=True)

    def _restart(self, request: Request, uuid: UUID, *, force: bool) -> Response:
        self.body(Nothing)
        return self.accepted(actions.restart_vm(actor_of(request), uuid, force=force))

    def _power(self, request: Request, uuid: UUID, power: str, *, force: bool = False) -> Response:
        self.body(Nothing)
        return self.accepted(actions.set_power(actor_of(request), uuid, power, force=force))

    @previewed
    @takes(Rebuild, VmShown)
    @action(detail=True, methods=["post"])
    @once
    def rebuild(self, request: Request, uuid: UUID) -> Response:
        """Start afresh from an image, under the same name and address. The first disk is lost."""
        return self.accepted(actions.rebuild_vm(actor_of(request), uuid, **self.body(Rebuild)))

    @previewed
    @takes(Clone, VmShown)
    @action(detail=True, methods=["post"])
    @once
    def clone(self, request: Request, uuid: UUID) -> Response:
        """Make a VM with copies of this one's disks; this one has to be off."""
        return self.accepted(actions.clone_vm(actor_of(request), uuid, **self.body(Clone)))

    @previewed
    @takes(OneImage, VmShown)
    @action(detail=True, methods=["post"], url_path="insert-iso")
    @once
    def insert_iso(self, request: Request, uuid: UUID) -> Response:
        """Put an ISO into the drive; at once, unless a guest that runs has no drive yet."""
        return self.accepted(actions.insert_iso(actor_of(request), uuid, **self.body(OneImage)))

    @previewed
    @starts(VmShown)
    @action(detail=True, methods=["post"], url_path="eject-iso")
    @once
    def eject_iso(self, request: Request, uuid: UUID) -> Response:
        """Empty the drive."""
        self.body(Nothing)
        return self.accepted(actions.eject_iso(actor_of(request), uuid))

    @previewed
    @takes(BootOrder, VmShown)
    @action(detail=True, methods=["post"], url_path="boot-order")
    @once
    def boot_order(self, request: Request, uuid: UUID) -> Response:
        """Say what is tried first when it starts."""
        body = self.body(BootOrder)
        return self.accepted(actions.set_boot_order(actor_of(request), uuid, **body))

    @previewed
    @takes(Rescue, VmShown)
    @action(detail=True, methods=["post"])
    @once
    def rescue(self, request: Request, uuid: UUID) -> Response:
        """Start from another image or an ISO, with the VM's own disks behind it."""
        return self.accepted(actions.begin_rescue(actor_of(request), uuid, **self.body(Rescue)))

    @previewed
    @takes(EndOfRescue, VmShown)
    @action(detail=True, methods=["post"], url_path="end-rescue")
    @once
    def end_rescue(self, request: Request, uuid: UUID) -> Response:
        """Start from the VM's own disks again."""
        body = self.body(EndOfRescue)
        return self.accepted(actions.end_rescue(actor_of(request), uuid, **body))

    @previewed
    @takes(NewDisk, VmShown)
    @action(detail=True, methods=["post"], url_path="add-disk")
    @once
    def add_disk(self, request: Request, uuid: UUID) -> Response:
        """Add an empty disk; a running guest gets it at once where it can."""
        return self.accepted(actions.add_disk(actor_of(request), uuid, **self.body(NewDisk)))

    @previewed
    @takes(LargerDisk, VmShown)
    @action(detail=True, methods=["post"], url_path="grow-disk")
    @once
    def grow_disk(self, request: Request, uuid: UUID) -> Response:
        """Enlarge a disk, of a running guest too."""
        return self.accepted(actions.grow_disk(actor_of(request), uuid, **self.body(LargerDisk)))

    @previewed
    @takes(OneDisk, VmShown)
    @action(detail=True, methods=["post"], url_path="remove-disk")
    @once
    def remove_disk(self, request: Request, uuid: UUID) -> Response:
        """Take a disk away with all data on it; the first one stays."""
        return self.accepted(actions.remove_disk(actor_of(request), uuid, **self.body(OneDisk)))

    @previewed
    @takes(NewNic, VmShown)
    @action(detail=True, methods=["post"], url_path="add-nic")
    @once
    def add_nic(self, request: Request, uuid: UUID) -> Response:
        """Add a NIC on a network of its project and host."""
        return self.accepted(actions.add_nic(actor_of(request), uuid, **self.body(NewNic)))

    @previewed
    @takes(OneNic, VmShown)
    @action(detail=True, methods=["post"], url_path="remove-nic")
    @once
    def remove_nic(self, request: Request, uuid: UUID) -> Response:
        """Take a NIC away with its address and all that leads to it."""
        return self.accepted(actions.remove_nic(actor_of(request), uuid, **self.body(OneNic)))

    @starts(JobWithSteps)
    @action(detail=True, methods=["post"])
    @once
    def check(self, request: Request, uuid: UUID) -> Response:
        """Have the host say what a repair would do to the VM; nothing is changed."""
        self.body(Nothing)
        return started(self, actions.check_vm(actor_of(request), uuid))

    @lists_flows
    @action(detail=True)
    def flows(self, request: Request, uuid: UUID) -> Response:
        """The connections of a VM, as they are now."""
        return listing(request, _of(self.displayed(uuid)))

    @lists_refused
    @action(detail=True)
    def refused(self, request: Request, uuid: UUID) -> Response:
        """What the firewall refused to and from a VM in the last ten minutes."""
        return refused_listing(request, _of(self.displayed(uuid), is_filtered))

    @shows_metrics
    @action(detail=True)
    def metrics(self, request: Request, uuid: UUID) -> Response:
        """What was measured of a VM."""
        return metrics_answer(request, thing_of(self.displayed(uuid)))

    @ends_flows
    @flows.mapping.delete
    def end_flows(self, request: Request, uuid: UUID) -> Response:
        """End the connections of a VM, or one of them."""
        get_for(user_of(request), Vm, uuid, write=True)
        return ended(request, _of(self.displayed(uuid)))

    @shows_picture
    @action(detail=True)
    def picture(self, request: Request, uuid: UUID) -> Response:
        """A small picture of what the guest shows. It is never waited for: the newest there is, and
        a fresh one a moment later."""
        return pictured(get_for(user_of(request), Vm, uuid))

    @lists_consoles
    @action(detail=True)
    def consoles(self, request: Request, uuid: UUID) -> Response:  # noqa: ARG002
        """The consoles of a VM that somebody has open, and who types."""
        vm = self.displayed(uuid)
        return Response(ConsoleShown(actions.consoles_of(vm), many=True).data)

    @takes(NewConsole, ConsoleOffered, status=201)
    @consoles.mapping.post
    @once
    def offer_console(self, request: Request, uuid: UUID) -> Response:
        """Get a ticket that opens a console once, within 30 seconds, for the same token."""
        return offered(request, uuid, self.body(NewConsole))

    @takes(OneConsole, ConsoleShown, status=200)
    @action(detail=True, methods=["post"], url_path="take-console")
    @once
    def take_console(self, request: Request, uuid: UUID) -> Response:
        """Type at a console that you have open, instead of who did."""
        taken = actions.take_console(actor_of(request), uuid, **self.body(OneConsole))
        return Response(ConsoleShown(taken).data)

    @explains_guest
    @action(detail=True)
    def explain(self, request: Request, uuid: UUID) -> Response:
        """Why the VM does (not) reach the outside by its first NIC: asked of the host now."""
        vm = self.displayed(uuid)
        if not vm.reservations:
            raise Conflict("This VM has no NIC.", code="no_nic")
        wanted = query(request, TryingGuest)
        return shown(why_guest(user_of(request), vm.reservations[0], **wanted))

    @starts(VmShown)
    @action(detail=True, methods=["post"])
    @once
    def repair(self, request: Request, uuid: UUID) -> Response:
        """Send the VM to its host again; whatever differs there is put right."""
        self.body(Nothing)
        actions.repair_vm(actor_of(request), uuid)
        return self.accepted(self.displayed(uuid))


def _of(vm: Vm, tells: Callable[[Network], bool] = is_tracked) -> Of:
    if not vm.reservations:
        raise Conflict("This VM has no NIC.", code="no_nic")
    return of_guest(vm, Vm.kind, vm.reservations, tells)
