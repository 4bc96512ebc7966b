"""Public helpers for tests: fakes, clocks and recorded feeds."""
