"""/api/v1/: every resource, the schema and its readable form."""

from __future__ import annotations

from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView
from rest_framework.routers import SimpleRouter

from kvmweb.api.docs import Docs
from kvmweb.api.views import NothingHere
from kvmweb.hosts.api import PublicAddresses
from kvmweb.jobs.api import Jobs
from kvmweb.projects.api import Projects
from networks.api import (
    AddressSets,
    Attachments,
    BulkForwards,
    Drifts,
    Holdings,
    HostNames,
    Hosts,
    Networks,
    PanelNames,
    Peerings,
    Remedies,
    Reservations,
    RuleSets,
    TrafficOfMonths,
)
from vms.api import Catalogue, Flavours, Images, Snapshots, SshKeys, Vms

router = SimpleRouter(use_regex_path=False)
router.register("hosts", Hosts, "host")
router.register("public-addresses", PublicAddresses, "public-address")
router.register("attachments", Attachments, "attachment")
router.register("networks", Networks, "network")
router.register("peerings", Peerings, "peering")
router.register("reservations", Reservations, "reservation")
router.register("forwards", BulkForwards, "forward")
router.register("host-names", HostNames, "host-name")
router.register("panel-names", PanelNames, "panel-name")
router.register("drifts", Drifts, "drift")
router.register("rule-sets", RuleSets, "rule-set")
router.register("address-sets", AddressSets, "address-set")
router.register("holdings", Holdings, "holding")
router.register("traffic", TrafficOfMonths, "traffic")
router.register("remedies", Remedies, "remedy")
router.register("image-catalogue", Catalogue, "image-catalogue")
router.register("images", Images, "image")
router.register("flavours", Flavours, "flavour")
router.register("ssh-keys", SshKeys, "ssh-key")
router.register("vms", Vms, "vm")
router.register("snapshots", Snapshots, "snapshot")
router.register("jobs", Jobs, "job")
router.register("projects", Projects, "project")

app_name = "api"
urlpatterns = [
    path("", include(router.urls)),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", Docs.as_view(), name="docs"),
    re_path(r"", NothingHere.as_view()),
]
