"""The frame: overview, search, account, health."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from kvmweb.ui.pages import account, health, overview, search

urlpatterns = [
    path("", overview.overview, name="overview"),
    path("search/", search.search, name="search"),
    path("login/", account.LoginView.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("account/tokens/", account.tokens, name="tokens"),
    path("account/tokens/<uuid:uuid>/revoke/", account.token_revoke, name="token-revoke"),
    path("account/password/", account.PasswordView.as_view(), name="password"),
    path("theme/", account.theme, name="theme"),
    path("project/", account.project, name="project"),
    path("healthz", health.healthz, name="healthz"),
]
