"""The menu of all pages."""

from typing import NamedTuple


class Entry(NamedTuple):
    """A line of the menu."""

    # Also the section that pages name.
    name: str
    path: str


MENU: tuple[tuple[str, tuple[Entry, ...]], ...] = (
    (
        "",
        (
            Entry("Home", "/"),
            Entry("Apps", "/apps"),
            Entry("Calls", "/calls"),
            Entry("Containers", "/containers"),
            Entry("Logs", "/logs"),
            Entry("Schedules", "/schedules"),
        ),
    ),
    (
        "Resources",
        (
            Entry("Sandboxes", "/sandboxes"),
            Entry("Images", "/images"),
            Entry("Volumes", "/volumes"),
            Entry("Dicts", "/dicts"),
            Entry("Queues", "/queues"),
            Entry("Secrets", "/secrets"),
        ),
    ),
    (
        "Service",
        (
            Entry("Environments", "/environments"),
            Entry("Tokens", "/tokens"),
            Entry("Audit log", "/audit"),
        ),
    ),
)
