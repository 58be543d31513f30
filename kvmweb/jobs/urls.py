"""Pages of jobs."""

from django.urls import path

from kvmweb.jobs import views

urlpatterns = [
    path("activity/", views.activity, name="activity"),
    path("jobs/running/", views.running, name="jobs-running"),
    path("jobs/<uuid:uuid>/", views.job, name="job"),
    path("jobs/<uuid:uuid>/retry/", views.retry, name="job-retry"),
]
