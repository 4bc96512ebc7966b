"""Write down the versions of all that is installed here, for CI to install the same.

    .venv/bin/python scripts/lock.py > .ci/constraints.txt

Run it in an environment that has ``.[dev]`` and nothing else, once its tests have passed.
"""

# ruff: noqa: INP001 - a script, not a package
import re
import sys
from importlib.metadata import distributions

_NOT_OURS = {"pip", "setuptools", "wheel", "syft-flwr-drive"}

names = {re.sub(r"[-_.]+", "-", each.name).lower(): each.version for each in distributions()}
lines = [f"{name}=={version}" for name, version in sorted(names.items()) if name not in _NOT_OURS]
sys.stdout.write("# The versions with which CI runs, by scripts/lock.py. What else would do: pyproject.toml.\n")
sys.stdout.write("\n".join(lines) + "\n")
