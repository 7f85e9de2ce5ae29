"""Become a server: the last steps between our process and the server's own program.

It is executed by path, in a fresh interpreter without site-packages, and replaces itself with
the server: so nothing of this runs between a fork and an exec of a process with threads.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import sys
from pathlib import Path

NOBODY = 65534
PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION = 0x20080522
CLONE_NEWUSER = 0x10000000


def main(arguments: list[str]) -> None:
    """Change who we are, tie our life to the parent's, and become the program."""
    parent, orphan_signal, identity, folder, *program = arguments
    if identity != "self" and sys.platform == "linux" and not _is_an_ordinary_user():
        _be_nobody(Path(folder), allow_namespace=identity == "nobody")
    # A change of identity clears the parent-death signal, so it is set after that.
    if sys.platform == "linux":
        _die_with(int(parent), int(orphan_signal))
    os.execv(program[0], program)  # noqa: S606  A shell in between would be the one to be ended.


def _is_an_ordinary_user() -> bool:
    """Say whether PostgreSQL takes us as we are: not root, and known by name."""
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return os.geteuid() != 0


def _die_with(parent: int, orphan_signal: int) -> None:
    _check(_libc().prctl(PR_SET_PDEATHSIG, orphan_signal, 0, 0, 0), "prctl")
    if os.getppid() != parent:
        sys.exit("the parent has died before the server started")


def _be_nobody(folder: Path, allow_namespace: bool) -> None:
    """Stop being root or a number without a name, without a new account and without chmod.

    Where namespaces are refused, a number without a name stays one: the program says so.
    """
    if allow_namespace and _namespace_is_allowed():
        _own(folder, os.getuid())
        _enter_namespace()
    elif os.geteuid() == 0:
        _own(folder, NOBODY)
        _drop_to_nobody()


def _namespace_is_allowed() -> bool:
    child = os.fork()
    if child == 0:
        try:
            _enter_namespace()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def _enter_namespace() -> None:
    """Look like nobody in here, while files on disk are still owned by who we were."""
    uid, gid = os.getuid(), os.getgid()
    _check(_libc().unshare(CLONE_NEWUSER), "unshare")
    for name, text in (
        ("setgroups", "deny"),
        ("gid_map", f"{NOBODY} {gid} 1"),
        ("uid_map", f"{NOBODY} {uid} 1"),
    ):
        Path("/proc/self", name).write_text(text)


def _drop_to_nobody() -> None:
    """Be nobody for good, keeping the one right to pass through folders that are closed."""
    libc = _libc()
    _check(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "prctl")
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    mask = 1 << CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    # Effective, permitted and inheritable, for capabilities 0-31 and then for 32-63.
    rights = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    _check(libc.capset(header, rights), "capset")
    _check(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0), "prctl")


def _own(folder: Path, uid: int) -> None:
    """Give the server's own folder, and nothing above it, to the user the server will be."""
    if folder.stat().st_uid == uid:
        return
    # The top folder comes last: an interrupted change of owner is seen and done again.
    for path in (*folder.rglob("*"), folder):
        os.chown(path, uid, -1, follow_symlinks=False)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(answer: int, what: str) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    main(sys.argv[1:])
