"""What only classes have: methods, parameters, hooks, web endpoints."""
