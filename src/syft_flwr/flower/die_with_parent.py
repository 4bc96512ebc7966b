"""Starts a program that the kernel kills when its parent dies, also by ``kill -9``.

Run as a script, ``die_with_parent.py PARENT_PID PROGRAM …``, without imports of this package, so that it costs some
milliseconds. Linux only; elsewhere the program just starts.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Become the command."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit(1)  # the parent died before the call
    os.execvp(command[0], command)  # noqa: S606 - the caller's own command


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
