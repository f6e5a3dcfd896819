"""The warm containers behind each function: pool, container state machine, autoscaler, capacity."""
