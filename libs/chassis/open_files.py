"""How many files and sockets this process may hold open."""

from __future__ import annotations

import sys

OPEN_FILES_MAX = 65_536


def allow_many() -> None:
    """Raise the limit as far as the system lets us: each client of the gateway holds a socket.

    Many systems start programs with 1,024, though they allow far more to those who ask.
    """
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = OPEN_FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES_MAX)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
