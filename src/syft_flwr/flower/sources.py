"""Imports a project from its source files only.

Python prefers a ``__pycache__`` that looks fresh, and whoever can write into a project can make one that looks so. What
a data owner has approved is the source.
"""

from __future__ import annotations

import importlib.machinery
import sys
from pathlib import Path
from types import CodeType


class _SourceLoader(importlib.machinery.SourceFileLoader):
    """Compiles the source each time; neither reads nor writes bytecode."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def import_from_sources(directory: Path) -> None:
    """Make this process import everything below a directory from its sources; call it before the first such import."""
    root = directory.absolute()

    def hook(entry: str) -> importlib.machinery.FileFinder:
        path = Path(entry).absolute()
        if not path.is_dir() or not path.is_relative_to(root):
            raise ImportError(entry)  # how a hook says that a path is not for it
        return importlib.machinery.FileFinder(
            entry,
            (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
            (_SourceLoader, importlib.machinery.SOURCE_SUFFIXES),
            (importlib.machinery.SourcelessFileLoader, importlib.machinery.BYTECODE_SUFFIXES),
        )

    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache.clear()
