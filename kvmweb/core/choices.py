"""States carry their words and their look together, so no template needs an `if` for a badge."""

from __future__ import annotations

from enum import Enum
from typing import Self


class State(Enum):
    """What an object is doing, as a person would say it. `value` is what REST shows.

    `tone` picks the colour, `icon` the shape: a state is never told by colour alone.
    """

    tone: str
    icon: str
    label: str

    def __new__(cls, value: str, label: str, tone: str, icon: str) -> Self:
        state = object.__new__(cls)
        state._value_ = value
        state.label, state.tone, state.icon = label, tone, icon
        return state

    UPLOADING = "uploading", "Uploading", "busy", "loader-2"
    IMPORTING = "importing", "Importing", "busy", "loader-2"
    READY = "ready", "Ready", "good", "circle-check"
    DEPRECATED = "deprecated", "Deprecated", "muted", "ban"
    WAITING = "waiting", "Waiting", "muted", "clock"
    CREATING = "creating", "Creating", "busy", "loader-2"
    CHANGING = "changing", "Changing", "busy", "loader-2"
    DELETING = "deleting", "Deleting", "busy", "loader-2"
    STARTING = "starting", "Starting", "busy", "loader-2"
    STOPPING = "stopping", "Stopping", "busy", "loader-2"
    SAVING = "saving", "Saving", "busy", "loader-2"
    RESTARTING = "restarting", "Restarting", "busy", "loader-2"
    ACTIVE = "active", "Active", "good", "circle-check"
    REPAIRED = "repaired", "Put right", "good", "circle-check"
    RUNNING = "running", "Running", "good", "circle-check"
    PAUSED = "paused", "Paused", "muted", "player-pause"
    OFF = "off", "Off", "muted", "power"
    BINNED = "in_bin", "In the bin", "muted", "trash"
    SAVED = "saved", "Saved", "muted", "device-floppy"
    CRASHED = "crashed", "Crashed", "bad", "alert-triangle"
    ATTENTION = "needs_attention", "Needs attention", "bad", "alert-triangle"
    SILENT = "host_not_answering", "Host not answering", "warn", "plug-connected-x"
