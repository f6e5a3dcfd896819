"""The way in over HTTP: web endpoints, one port for all of them."""
