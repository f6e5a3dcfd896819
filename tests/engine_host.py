"""This machine as the engine's containers see it."""

import ipaddress

import docker


def bridge_gateway() -> str:
    """Return this machine's address on the engine's default bridge.

    An engine in its first life names only the subnet, until it is started again: the gateway is its first address.
    """
    engine = docker.from_env()
    try:
        network = engine.networks.get("bridge").attrs["IPAM"]["Config"][0]
    finally:
        engine.close()
    return str(network.get("Gateway") or next(ipaddress.ip_network(network["Subnet"]).hosts()))
