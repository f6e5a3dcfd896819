"""Proxies with static addresses: a name that programs may import, and that refuses to be used."""

from wherry._base.elsewhere import refused

Proxy = refused("modal.proxy.Proxy")
