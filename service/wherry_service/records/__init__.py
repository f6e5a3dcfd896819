"""What became of inputs: those that ended lately, in memory, and some of them on disk."""
