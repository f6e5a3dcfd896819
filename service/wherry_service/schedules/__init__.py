"""Functions that run by the clock: when their ticks are, and one run for each."""
