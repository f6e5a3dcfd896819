"""What is behind secrets, dicts, queues and volumes."""
