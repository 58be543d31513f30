"""The operators' admin, behind the same door as everything else."""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode


class KvmwebAdminSite(AdminSite):
    site_header = site_title = "kvmweb operators"
    index_title = "Everything this panel keeps"

    def login(
        self,
        request: HttpRequest,
        extra_context: object = None,  # noqa: ARG002  the signature is Django's
    ) -> HttpResponse:
        """No second login page: the panel's own is the only one, and it would send a user who is
        signed in, and no operator, back here for ever.
        """
        if request.user.is_authenticated:
            raise PermissionDenied
        query = urlencode({"next": request.get_full_path()})
        return redirect(f"{reverse('login')}?{query}")
