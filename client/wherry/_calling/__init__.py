"""Calls: made, followed, and their results."""
