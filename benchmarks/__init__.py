"""What following the change feed costs and gives: ``python -m benchmarks --help``."""
