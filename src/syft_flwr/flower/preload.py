"""Imports what apps need into the fork server, which imports this module first of all.

The fork server itself passes over an ImportError only. A library that raises anything else, for want of a shared
library or with another version of numpy, would end it, and no app would start: not even one that can do without.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable
from contextlib import suppress

VARIABLE = "SYFT_FLWR_PRELOAD"
"""Names of modules, separated by commas."""


def preload(names: Iterable[str]) -> None:
    """Import modules, as far as they can be."""
    for name in names:
        with suppress(Exception, SystemExit):  # told when the app imports it, if it matters
            importlib.import_module(name)


preload(filter(None, os.environ.pop(VARIABLE, "").split(",")))
