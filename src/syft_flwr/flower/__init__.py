"""Flower over Drive: the aggregator's Grid and the data owner's loop.

Importing this package imports no Flower; its modules do.
"""
