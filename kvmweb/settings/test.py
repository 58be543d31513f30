"""Settings of the tests: nothing outside the test's own folders and sockets is touched."""

import atexit
import os
import shutil
import tempfile

if "KVMWEB_STATE" not in os.environ:
    # The process that made the folder removes it; those it starts find it in their environment.
    os.environ["KVMWEB_STATE"] = tempfile.mkdtemp(prefix="kvmweb-test-")
    atexit.register(shutil.rmtree, os.environ["KVMWEB_STATE"], ignore_errors=True)

from kvmweb.settings.base import *  # noqa: F403

SECRET_KEY = "only-for-tests"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Messages stay in this process, where nobody reads them: the rows are the truth.
CELERY_BROKER_URL = "memory://"
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
if "sqlite3" in str(DATABASES["default"]["ENGINE"]):
    # A file, so that threads with connections of their own see the same rows.
    DATABASES["default"]["TEST"] = {"NAME": STATE_DIR / "test.sqlite3"}
else:
    # A pool would keep the test database from being dropped.
    DATABASES["default"]["OPTIONS"] = {}
# Static files straight from where esbuild puts them.
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = True
# WhiteNoise warns of a folder that nobody collected into.
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
KVMWEB_IMAGE_SPARE = 0
