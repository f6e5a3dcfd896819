"""The Wherry control plane: deployed apps, calls, pools of containers, the node agent and image builds."""

__version__ = "0.1.0"
