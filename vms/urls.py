"""Pages of VMs and images."""

from django.urls import path

from vms.views import consoles, files, flows, hardware, images, keys, new, refused, vms

urlpatterns = [
    path("account/keys/", keys.keys, name="ssh-keys"),
    path("account/keys/<uuid:uuid>/remove/", keys.remove, name="ssh-key-remove"),
    path("vms/", vms.vms, name="vms"),
    path("vms/bin/", vms.recycle_bin, name="vms-bin"),
    path("vms/new/", new.new, name="vm-new"),
    path("vms/<uuid:uuid>/", vms.vm, name="vm"),
    path("vms/<uuid:uuid>/activity/", vms.activity, name="vm-activity"),
    path("vms/<uuid:uuid>/settings/", vms.settings, name="vm-settings"),
    path("vms/<uuid:uuid>/power/", vms.power, name="vm-power"),
    path("vms/<uuid:uuid>/console/", consoles.console, name="vm-console"),
    path("vms/<uuid:uuid>/console/ticket/", consoles.ticket, name="vm-console-ticket"),
    path("vms/<uuid:uuid>/console/take/", consoles.take, name="vm-console-take"),
    path("vms/<uuid:uuid>/flows/", flows.flows, name="vm-flows"),
    path("vms/<uuid:uuid>/flows/now/", flows.now, name="vm-flows-now"),
    path("vms/<uuid:uuid>/flows/end/", flows.end, name="vm-flows-end"),
    path("vms/<uuid:uuid>/refused/", refused.refused, name="vm-refused"),
    path("vms/<uuid:uuid>/refused/now/", refused.now, name="vm-refused-now"),
    path("vms/<uuid:uuid>/check/", vms.check, name="vm-check"),
    path("vms/<uuid:uuid>/repair/", vms.repair, name="vm-repair"),
    path("vms/<uuid:uuid>/hardware/", hardware.hardware, name="vm-hardware"),
    path("vms/<uuid:uuid>/hardware/nic/", hardware.add_nic, name="vm-add-nic"),
    path("vms/<uuid:uuid>/hardware/grow/", hardware.grow_disk, name="vm-grow-disk"),
    path("vms/<uuid:uuid>/hardware/remove/", hardware.remove, name="vm-remove-hardware"),
    path("vms/<uuid:uuid>/restore/", vms.restore, name="vm-restore"),
    path("vms/<uuid:uuid>/delete/", vms.delete, name="vm-delete"),
    path("images/", images.images, name="images"),
    path("images/new/", images.new, name="image-new"),
    path("images/upload/", images.upload, name="image-upload"),
    path("images/catalogue/", images.catalogue_page, name="image-catalogue"),
    path("images/<uuid:uuid>/", images.image, name="image"),
    path("images/<uuid:uuid>/settings/", images.settings, name="image-settings"),
    path("images/<uuid:uuid>/replace/", images.replace, name="image-replace"),
    path("images/<uuid:uuid>/deprecate/", images.deprecate, name="image-deprecate"),
    path("images/<uuid:uuid>/delete/", images.delete, name="image-delete"),
    path("library/<str:ticket>/", files.image_file, name="image-file"),
]
