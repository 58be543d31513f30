"""Settings that hold everywhere.

Secrets and places come from the environment (`kvmweb.settings.env`).
"""

from __future__ import annotations

from pathlib import Path

from csp.constants import NONE, SELF

from kvmweb.settings import env

BASE_DIR = Path(__file__).resolve().parent.parent.parent
STATE_DIR = Path(env.text("STATE", "/var/lib/kvmweb"))

DEBUG = env.flag("DEBUG")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]")
# No tenant takes these; to those above, names that the panel has for a while are added.
KVMWEB_OWN_NAMES = [*ALLOWED_HOSTS]
CSRF_TRUSTED_ORIGINS = env.words("TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "kvmweb.ui.apps.ShippedFilesConfig",
    "django.contrib.humanize",
    "django.forms",
    "kvmweb.ui.apps.UiConfig",
    "kvmweb.ui.apps.KvmwebAdminConfig",
    "channels",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "kvmweb.projects",
    "kvmweb.jobs",
    "kvmweb.hosts",
    "networks",
    "vms",
    "kvmweb.api",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "kvmweb.ui.middleware.secure_cookies",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "kvmweb.ui.middleware.refusals",
    "kvmweb.ui.asking.LimitsQuestions",
]

ROOT_URLCONF = "kvmweb.urls"
ASGI_APPLICATION = "kvmweb.asgi.application"
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "kvmweb.ui.context.shell",
            ],
        },
    },
]

DATABASES = {"default": env.database(env.text("DATABASE_URL", ""), STATE_DIR / "kvmweb.sqlite3")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "login"

LANGUAGE_CODE = "en-us"
USE_I18N = False
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static" / "dist"]
STATIC_ROOT = STATE_DIR / "static"

# Redis: the broker, the channel layer and the cache. `redis_url` is what redis-py understands, the
# broker URL what
# Celery does; they differ for a unix socket only.
REDIS_URL = env.text("REDIS_URL", f"unix://{STATE_DIR / 'redis' / 'redis.sock'}")
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "kvmweb"},
    },
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "kvmweb.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "EXCEPTION_HANDLER": "kvmweb.api.problems.answer",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "DEFAULT_THROTTLE_CLASSES": ["kvmweb.api.throttle.PerUser"],
}
SPECTACULAR_SETTINGS = {
    "TITLE": "kvmweb",
    "DESCRIPTION": "NAT networks, VMs and port forwards. Guide: docs/api.md.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_PATCH": True,
    "ENUM_NAME_OVERRIDES": {
        "JobStatus": "kvmweb.jobs.models.Status",
        "ForwardProtocol": "networks.models.Forward.Protocol",
        "RuleProtocol": "networks.models.Rule.Protocol",
        "EgressProtocol": "networks.models.EgressRule.Protocol",
        "KindEnum": "networks.models.Attachment.Kind",
        "ConsoleKind": "vms.models.Console.Kind",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "kvmweb.api.schema.complete",
    ],
}
# How often one user may use the REST API.
KVMWEB_API_RATE = env.text("API_RATE", "6000/min")

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    },
}
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"

# How long a running job may be silent before the sweep sends it to its host again, in seconds.
KVMWEB_JOB_LEASE = env.integer("JOB_LEASE", 45)
# How often the sweep runs, in seconds.
KVMWEB_SWEEP_INTERVAL = env.integer("SWEEP_INTERVAL", 15)
# How long a host may be silent before it is shown as not answering, in seconds.
KVMWEB_HOST_SILENCE = env.integer("HOST_SILENCE", 45)
# Raised when the database was restored from a backup, so that hosts accept what looks older.
KVMWEB_EPOCH = env.integer("EPOCH", 1)
# How long a deleted VM can be taken back, in days; 0 deletes at once.
KVMWEB_FLAVOURS_ONLY = env.flag("FLAVOURS_ONLY")
KVMWEB_BIN_DAYS = env.integer("BIN_DAYS", 7)
# The port of the panel itself; no forward may take it.
KVMWEB_PANEL_PORT = env.integer("PANEL_PORT", 8000)
# Where hosts find the panel that serve it by a name, unless an operator says otherwise.
KVMWEB_PANEL_ADDRESS = env.text("PANEL_ADDRESS", "127.0.0.1")

# Where what hosts measured is kept; web and control worker share it.
KVMWEB_METRICS = env.text("METRICS", str(STATE_DIR / "metrics"))

# Where the image library lies; web and its worker share it.
KVMWEB_IMAGES = env.text("IMAGES", str(STATE_DIR / "images"))
# In GiB: the largest file of an image, the largest disk in it, what stays free on the library's
# disk whatever comes, and what the images of one project may take together.
KVMWEB_IMAGE_LARGEST = env.integer("IMAGE_LARGEST", 64)
KVMWEB_IMAGE_LARGEST_DISK = env.integer("IMAGE_LARGEST_DISK", 2048)
KVMWEB_IMAGE_SPARE = env.integer("IMAGE_SPARE", 5)
KVMWEB_IMAGE_PROJECT = env.integer("IMAGE_PROJECT", 200)
# Networks that images may be imported from although they are not public, such as a mirror's.
KVMWEB_IMAGE_SOURCES = env.networks("IMAGE_SOURCES")
# Where the images of the catalogue are instead of on their publishers' sites.
KVMWEB_IMAGE_MIRROR = env.text("IMAGE_MIRROR", "")
# A socket of this very web process, by which a host on the same machine brings consoles; the web
# process sets it for itself.
KVMWEB_DIAL_SOCKET = ""
# The address by which hosts reach the panel.
KVMWEB_URL = env.text("URL", f"http://127.0.0.1:{KVMWEB_PANEL_PORT}")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)-7s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.text("LOG_LEVEL", "INFO")},
}
