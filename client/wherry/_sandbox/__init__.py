"""Parts of sandboxes."""
