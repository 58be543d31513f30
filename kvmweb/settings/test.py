"""Settings of the tests: nothing outside the test's own folders and sockets is touched."""

import os
import tempfile

os.environ.setdefault("KVMWEB_STATE", tempfile.mkdtemp(prefix="kvmweb-test-"))

from kvmweb.settings.base import *  # noqa: F403

SECRET_KEY = "only-for-tests"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
