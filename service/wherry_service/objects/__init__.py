"""What programs share beside calls: secrets, dicts, queues."""
