"""Clusters of containers: names that programs may import, and that refuse to be used."""

from wherry._base.elsewhere import refused

Cluster = refused("modal.cluster.Cluster")
clustered = refused("modal.cluster.clustered")
