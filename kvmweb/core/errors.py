"""Every error a person or a program may see, with its code, field and remedy.

The web answers them as form errors or problem documents; a host reports them as the end of a job. A
message says what happened and why, the remedy what to do about it. Nothing here imports Django:
hosts raise these too.
"""

from __future__ import annotations

from collections.abc import Sequence


class KvmwebError(Exception):
    """Base of all expected failures.

    `retry` tells the task, and only the task, whether trying again may help.
    """

    code = "error"
    status = 500
    retry = False

    def __init__(self, message: str, *, field: str = "", remedy: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.remedy = remedy
        self.code = code or self.code


class Invalid(KvmwebError):
    """The input cannot be accepted; `field` names the part at fault."""

    code = "invalid"
    status = 400


class NotFound(KvmwebError):
    """There is no such thing, or not for this user: the two are never told apart."""

    code = "not_found"
    status = 404


class Forbidden(KvmwebError):
    """The user may see it but not change it."""

    code = "forbidden"
    status = 403


class Conflict(KvmwebError):
    """Somebody else was first, or the object is in a state that excludes the request."""

    code = "conflict"
    status = 409


class Several(KvmwebError):
    """More than one part of the input may be at fault; `errors` says each, the first stands for
    all."""

    def __init__(self, errors: Sequence[KvmwebError]) -> None:
        first = errors[0]
        super().__init__(first.message, field=first.field, remedy=first.remedy, code=first.code)
        self.status = first.status
        self.errors = tuple(errors)


class Busy(KvmwebError):
    """The panel's own database did not answer in time; asking again later may help."""

    code = "busy"
    status = 503
    retry_after = 5  # seconds


class HostError(KvmwebError):
    """A host could not do what the spec says. The job fails with this code, message and remedy."""

    code = "host_error"


class NotConverged(HostError):
    """After a whole apply the next plan was not empty; the message carries what was left of it."""

    code = "not_converged"
    retry = True


class HostBusy(HostError):
    """Something on the host did not answer in time; the same spec may be tried again."""

    code = "host_busy"
    retry = True
