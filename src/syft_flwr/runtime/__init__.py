"""One account's feed and messages in this process."""

from syft_flwr.runtime.runtime import DriveRuntime

__all__ = ["DriveRuntime"]
