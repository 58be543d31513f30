"""The panel as an ASGI application: pages and REST over HTTP, events over websockets."""

from __future__ import annotations

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kvmweb.settings.single")
pages = get_asgi_application()

# Consumers import models, so Django is set up before them.
from kvmweb.jobs.sockets import serving  # noqa: E402
from networks.panel import answering_to_its_names  # noqa: E402
from vms.consoles.routes import routes as consoles  # noqa: E402
from vms.consoles.switchboard import answering_hosts  # noqa: E402
from vms.live import routes as live  # noqa: E402

sockets = answering_hosts(serving([*consoles, *live]))
routes = ProtocolTypeRouter({"http": pages, "websocket": sockets})
application = answering_to_its_names(routes)
