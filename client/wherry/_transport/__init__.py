"""How the SDK speaks to the service: one small interface, gRPC outside of containers."""
