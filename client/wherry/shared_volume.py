"""The name of the reference's `shared_volume` module, of 2023; the same as a network file system."""

from wherry.network_file_system import NetworkFileSystem as SharedVolume

__all__ = ["SharedVolume"]
