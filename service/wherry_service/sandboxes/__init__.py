"""Containers that run any command, asked for one by one: no function, no pool, no runner."""
