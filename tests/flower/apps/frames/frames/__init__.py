"""Histograms by pandas over all owners' rows, as Flower's quickstart has it: no model, no strategy."""
