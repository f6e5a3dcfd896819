"""The way to the service: settings, transports, the session, and what travels over it."""
