"""Parts of apps."""
