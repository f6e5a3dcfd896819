"""Sends lines of logs on to those who keep logs: over OTLP, to syslog, into a file."""
