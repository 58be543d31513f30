"""What was published, read from the queues of the broker in this process."""

from __future__ import annotations

from typing import Any

from kvmweb.celery import app


def drain(queue: str) -> list[tuple[str, list[Any]]]:
    """(task, arguments) of every message in a queue, which is empty afterwards."""
    found = []
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        while (message := channel.basic_get(queue, no_ack=True)) is not None:
            arguments = message.decode()[0]
            found.append((message.headers["task"], list(arguments)))
    return found
