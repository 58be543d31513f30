"""`Authorization: Bearer …`: the token of a program (RFC 6750)."""

from __future__ import annotations

from django.contrib.auth.models import User
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from kvmweb.projects.actions import user_of_token
from kvmweb.projects.models import ApiToken


class TokenAuthentication(BaseAuthentication):
    """Names the token's user, and the token itself as `request.auth`, for the audit trail."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        scheme, _, secret = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        holder = user_of_token(secret.strip().decode("latin-1"))
        if holder is None:
            raise AuthenticationFailed("This token is unknown, expired or switched off.")
        return holder

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002  the signature is DRF's
        return 'Bearer realm="kvmweb"'
