"""From what was written to what runs: images are built, files are sent, apps begin."""
