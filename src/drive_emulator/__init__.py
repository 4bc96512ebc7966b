"""A local Google Drive: the v3 HTTP API for several accounts, over loopback, for rehearsals and tests of any client."""

from drive_emulator.errors import EmulatorError
from drive_emulator.handle import DriveEmulator, StoredFile

__all__ = ["DriveEmulator", "EmulatorError", "StoredFile"]
