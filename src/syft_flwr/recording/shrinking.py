"""Find the few exchanges for which a recorded feed fails."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from syft_flwr.recording.cut import cut, exchanges
from syft_flwr.recording.reader import Recording, read_recording


def shrink(recording: Recording, fails: Callable[[Recording], bool], target: Path) -> Recording:
    """Write the shortest recording that still fails: none of its exchanges can be left out.

    It plays parts of the recording, of ``n`` exchanges in ``n`` log ``n`` attempts where one alone is at fault.

    Args:
        recording: What was recorded, in a file; it fails.
        fails: Plays a recording, and tells whether it fails.
        target: The new file.

    Returns:
        What was written.

    Raises:
        ValueError: The recording as a whole does not fail.
        RecordingError: A file can't be read or written, or the target exists.
    """
    left = exchanges(recording)

    def still_fails(kept: list[str]) -> bool:
        with tempfile.TemporaryDirectory() as directory:
            part = Path(directory) / recording.path.name
            cut(recording, kept, part)
            return fails(read_recording(part))

    if not fails(recording):
        raise ValueError(f"{recording.path} does not fail: there is nothing to find")
    portion, before = len(left), 0
    while portion > 1 or len(left) != before:
        portion, before, start = max(1, portion // 2), len(left), 0
        while start < len(left):
            without = left[:start] + left[start + portion :]
            if without and still_fails(without):
                left = without
            else:
                start += portion
    cut(recording, left, target)
    return read_recording(target)
