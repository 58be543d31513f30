"""The one gate between a user and an object.

Every queryset of tenants' things answers `visible_to(user)` and `writable_by(user)`. A stranger is
told the same as if the thing did not exist; one who may only read is told that.
"""

from __future__ import annotations

from typing import Protocol, Self, TypeVar
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Model, QuerySet

from kvmweb.core.errors import Forbidden, NotFound
from kvmweb.core.locks import lock

User = AbstractBaseUser | AnonymousUser
M = TypeVar("M", bound=Model)


class Guarded(Protocol):
    """A queryset that knows who may see and who may change its rows."""

    def visible_to(self, user: User) -> Self: ...
    def writable_by(self, user: User) -> Self: ...


def visible(user: User, model: type[M]) -> QuerySet[M]:
    """The rows of `model` that `user` may see, for where the model is known at run time only."""
    rows: QuerySet[M] = model._default_manager.all().visible_to(user)  # type: ignore[attr-defined]
    return rows


def get_for(
    user: User, model: type[M], uuid: UUID | str, *, write: bool = False, lock: bool = False
) -> M:
    """The object of this UUID if `user` may see it (and, with `write`, change it).

    `lock` takes the row's lock as well and needs a transaction.
    Raises NotFound for strangers and Forbidden for readers.
    """
    rows: QuerySet[M] = model._default_manager.all()
    name = model._meta.verbose_name
    try:
        wanted = uuid if isinstance(uuid, UUID) else UUID(uuid)
    except ValueError:
        raise NotFound(f"There is no such {name}.") from None
    found: M | None = rows.visible_to(user).filter(uuid=wanted).first()  # type: ignore[attr-defined]
    if found is None:
        raise NotFound(f"There is no such {name}.")
    if write and not rows.writable_by(user).filter(pk=found.pk).exists():  # type: ignore[attr-defined]
        raise Forbidden(f"You may see this {name} but not change it.")
    return _locked(rows, found) if lock else found


def _locked(rows: QuerySet[M], found: M) -> M:
    """The row again, under its lock: it may have gone while we waited for it."""
    locked: M | None = lock(rows).filter(pk=found.pk).first()
    if locked is None:
        raise NotFound(f"There is no such {found._meta.verbose_name}.")
    return locked


def is_operator(user: User) -> bool:
    """Operators are active staff; they see and change everything."""
    return bool(user.is_active and getattr(user, "is_staff", False))
