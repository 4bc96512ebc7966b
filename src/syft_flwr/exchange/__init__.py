"""Requests and replies over files: admission, handling, futures and clean-up."""
