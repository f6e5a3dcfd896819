"""What the service tells a webhook: that a schedule failed, a deploy failed, the disk is nearly full."""
