"""The dashboard: web pages of the service, at the ingress's port."""
