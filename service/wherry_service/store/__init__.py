"""What must outlive the process: the database and the blobs."""
