"""REST: projects."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.fields import Body, Filters, Shown
from kvmweb.api.once import once
from kvmweb.api.schema import takes
from kvmweb.api.views import Resource, actor_of
from kvmweb.projects.actions import create_project
from kvmweb.projects.models import LONGEST_PROJECT_NAME, Project, ProjectQuerySet


class ProjectShown(Shown):
    id = serializers.UUIDField(source="uuid")
    name = serializers.CharField()
    role = serializers.SerializerMethodField(
        help_text="owner, member or viewer; empty for an operator who does not belong to it."
    )
    created_at = serializers.DateTimeField()

    def get_role(self, project: Any) -> str:
        return next((membership.role for membership in project.own_membership), "")


class NewProject(Body):
    name = serializers.CharField(max_length=LONGEST_PROJECT_NAME)


class ProjectFilter(Filters):
    search = filters.CharFilter("name", "icontains", help_text="Part of the name.")


class Projects(Resource):
    """Tenants: everything belongs to exactly one."""

    model = Project
    serializer_class = ProjectShown
    filterset_class = ProjectFilter

    def shown(self, rows: ProjectQuerySet) -> ProjectQuerySet:
        return rows.with_membership_of(self.request.user)

    @takes(NewProject, ProjectShown, status=201)
    @once
    def create(self, request: Request) -> Response:
        """Create a project that you own."""
        project = create_project(actor_of(request), **self.body(NewProject))
        shown = self.get_serializer(self.displayed(project.uuid))
        return Response(shown.data, status=status.HTTP_201_CREATED)
