"""Memory snapshots of sandboxes: a name that programs may import, and that refuses to be used."""

from wherry._base.elsewhere import refused

SandboxSnapshot = refused("modal.SandboxSnapshot")
