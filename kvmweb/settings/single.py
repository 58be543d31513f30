"""The embedded default.

One machine, SQLite, a private redis-server. One URL each turns it into more.
"""

import os

from kvmweb.settings.base import *  # noqa: F403
from kvmweb.settings import env

# The database holds the keys of hosts: what the panel writes is its owner's alone.
os.umask(0o077)

SECRET_KEY = env.text("SECRET_KEY")
SECRET_KEY_FALLBACKS = env.words("SECRET_KEY_FALLBACKS")
# Behind a TLS proxy both cookies travel over https only; on 127.0.0.1 they could not.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.flag("HTTPS")
if env.flag("HTTPS"):
    # Cookies know no ports, and a guest may serve pages on another port of the same address; this
    # prefix keeps it from ever being sent one over http (RFC 6265bis, section 4.1.3.2).
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 31_536_000
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "kvmweb.ui.storage.HashedStorage"},
}
WHITENOISE_KEEP_ONLY_HASHED_FILES = True
# Not ours to decide: the proxy redirects to https, and a panel speaks for no other subdomain.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W008", "security.W021"]
