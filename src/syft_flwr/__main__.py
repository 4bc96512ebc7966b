"""``python -m syft_flwr`` is ``syft-flwr``."""

from syft_flwr.cli.entry import main

main()
