"""What was written: definitions, options, images, places. Plain data, nothing is asked of a service."""
