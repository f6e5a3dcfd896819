"""Metrics: what the parts count, as Prometheus reads it, on a port of its own."""
