"""Pages of networks and what belongs to them."""

from django.urls import path

from networks.views import (
    attachments,
    firewall,
    flows,
    forwards,
    history,
    host_names,
    hosts,
    ipv6,
    networks,
    panel,
    peering,
    refused,
    services,
    settings,
    why,
)

urlpatterns = [
    path("networks/", networks.networks, name="networks"),
    path("networks/new/", networks.new, name="network-new"),
    path("networks/<uuid:uuid>/", networks.network, name="network"),
    path("networks/<uuid:uuid>/settings/", settings.settings, name="network-settings"),
    path("networks/<uuid:uuid>/services/", services.services, name="network-services"),
    path("networks/<uuid:uuid>/delete/", networks.delete, name="network-delete"),
    path("networks/<uuid:uuid>/ipv6/", ipv6.ipv6, name="network-ipv6"),
    path("networks/<uuid:uuid>/check/", networks.check, name="network-check"),
    path("networks/<uuid:uuid>/repair/", networks.repair, name="network-repair"),
    path(
        "networks/<uuid:uuid>/reservations/new/", networks.reservation_new, name="reservation-new"
    ),
    path("reservations/<uuid:uuid>/", services.reservation, name="reservation"),
    path(
        "reservations/<uuid:uuid>/delete/", networks.reservation_delete, name="reservation-delete"
    ),
    path("who-had-it/", history.who, name="who-had-it"),
    path("hosts/<uuid:uuid>/remedies/", hosts.remedy, name="host-remedy"),
    path("hosts/<uuid:uuid>/attachments/", attachments.release, name="host-attachments"),
    path("attachments/<uuid:uuid>/withdraw/", attachments.withdraw, name="attachment-withdraw"),
    path("hosts/<uuid:uuid>/repairs/", hosts.repairs, name="host-repairs"),
    path("networks/<uuid:uuid>/firewall/", firewall.network_firewall, name="network-firewall"),
    path(
        "reservations/<uuid:uuid>/firewall/",
        firewall.reservation_firewall,
        name="reservation-firewall",
    ),
    path("firewall/", firewall.firewall, name="firewall"),
    path("firewall/rule-sets/new/", firewall.rule_set_new, name="rule-set-new"),
    path("firewall/rule-sets/<uuid:uuid>/", firewall.rule_set, name="rule-set"),
    path(
        "firewall/rule-sets/<uuid:uuid>/rename/", firewall.rule_set_rename, name="rule-set-rename"
    ),
    path(
        "firewall/rule-sets/<uuid:uuid>/delete/", firewall.rule_set_delete, name="rule-set-delete"
    ),
    path("firewall/rules/<uuid:uuid>/delete/", firewall.rule_delete, name="rule-delete"),
    path("firewall/address-sets/new/", firewall.address_set_new, name="address-set-new"),
    path("firewall/address-sets/<uuid:uuid>/", firewall.address_set, name="address-set"),
    path(
        "firewall/address-sets/<uuid:uuid>/delete/",
        firewall.address_set_delete,
        name="address-set-delete",
    ),
    path("networks/<uuid:uuid>/peerings/new/", peering.new, name="peering-new"),
    path("peerings/<uuid:uuid>/accept/", peering.accept, name="peering-accept"),
    path("peerings/<uuid:uuid>/end/", peering.end, name="peering-end"),
    path("host-names/", host_names.host_names, name="host-names"),
    path("host-names/new/", host_names.new, name="host-name-new"),
    path("host-names/<uuid:uuid>/", host_names.host_name, name="host-name"),
    path("host-names/<uuid:uuid>/delete/", host_names.delete, name="host-name-delete"),
    path("hosts/<uuid:uuid>/panel-name/", panel.new, name="panel-new"),
    path("panel-names/<uuid:uuid>/", panel.panel, name="panel"),
    path("panel-names/<uuid:uuid>/delete/", panel.delete, name="panel-delete"),
    path("forwards/", forwards.forwards, name="forwards"),
    path("forwards/new/", forwards.new, name="forward-new"),
    path("forwards/<uuid:uuid>/", forwards.forward, name="forward"),
    path("forwards/<uuid:uuid>/pause/", forwards.pause, name="forward-pause"),
    path("forwards/<uuid:uuid>/extend/", forwards.extend, name="forward-extend"),
    path("forwards/<uuid:uuid>/resume/", forwards.resume, name="forward-resume"),
    path("forwards/<uuid:uuid>/delete/", forwards.delete, name="forward-delete"),
    path("networks/<uuid:uuid>/flows/", flows.network, name="network-flows"),
    path("networks/<uuid:uuid>/flows/now/", flows.network_now, name="network-flows-now"),
    path("networks/<uuid:uuid>/flows/end/", flows.network_end, name="network-flows-end"),
    path("networks/<uuid:uuid>/refused/", refused.network, name="network-refused"),
    path("networks/<uuid:uuid>/refused/now/", refused.network_now, name="network-refused-now"),
    path("forwards/<uuid:uuid>/flows/", flows.forward, name="forward-flows"),
    path("forwards/<uuid:uuid>/flows/now/", flows.forward_now, name="forward-flows-now"),
    path("forwards/<uuid:uuid>/flows/end/", flows.forward_end, name="forward-flows-end"),
    path("forwards/<uuid:uuid>/why/", why.forward, name="forward-why"),
    path("forwards/<uuid:uuid>/why/now/", why.forward_now, name="forward-why-now"),
    path("peerings/<uuid:uuid>/why/", why.peering, name="peering-why"),
    path("peerings/<uuid:uuid>/why/now/", why.peering_now, name="peering-why-now"),
    path("reservations/<uuid:uuid>/why/", why.outside, name="reservation-why"),
    path("reservations/<uuid:uuid>/why/now/", why.outside_now, name="reservation-why-now"),
]
