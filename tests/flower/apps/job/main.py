"""What a job runner starts on every account."""

import os
from pathlib import Path

from syft_flwr.client import create_client
from syft_flwr.config import load_flwr_pyproject
from syft_flwr.run import syftbox_run_flwr_client, syftbox_run_flwr_server

DATA_DIR = os.environ["DATA_DIR"]
OUTPUT_DIR = os.environ["OUTPUT_DIR"]

project_dir = Path(__file__).parent.absolute()
client = create_client(project_dir=project_dir)
parties = load_flwr_pyproject(project_dir)["tool"]["syft_flwr"]

if client.email in parties["datasites"]:
    syftbox_run_flwr_client(project_dir)
elif client.email == parties["aggregator"]:
    syftbox_run_flwr_server(project_dir)
else:
    raise ValueError(f"{client.email} takes no part")
