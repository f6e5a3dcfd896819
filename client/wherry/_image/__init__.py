"""Behind `Image`: its steps as written, the files they name, and what the service is sent of them."""
