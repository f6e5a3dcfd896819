"""What containers print: masked, kept on disk within a bound, read and followed."""
