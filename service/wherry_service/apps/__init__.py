"""What is running or deployed: apps and their functions."""
