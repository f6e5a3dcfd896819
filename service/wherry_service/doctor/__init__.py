"""What this machine needs to run a service, looked at one by one: `python -m wherry_service.doctor`."""
