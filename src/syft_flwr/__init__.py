"""Federated learning with Flower over Google Drive."""
