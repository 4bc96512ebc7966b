"""Public helpers for tests: a local Google Drive, fakes, clocks and recorded feeds."""

from syft_flwr.testing.emulator import DriveEmulator, StoredFile

__all__ = ["DriveEmulator", "StoredFile"]
