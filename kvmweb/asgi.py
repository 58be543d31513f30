"""The panel as an ASGI application: pages and REST over HTTP, events over websockets."""

from __future__ import annotations

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kvmweb.settings.single")
pages = get_asgi_application()

# Consumers import models, so Django is set up before them.
from kvmweb.jobs import sockets  # noqa: E402
from networks.panel import answering_to_its_names  # noqa: E402

routes = ProtocolTypeRouter({"http": pages, "websocket": sockets.application})
application = answering_to_its_names(routes)
