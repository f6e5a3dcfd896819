"""The command line: one command group per module."""
