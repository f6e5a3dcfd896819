"""Buckets of cloud storage as directories: not served here, and said so."""

from __future__ import annotations

from wherry._typing import TYPE_CHECKING, Any
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from typing import NoReturn


class CloudBucketMount:
    """A bucket that a function would have as a directory. (reference: CloudBucketMount)

    It can be named, and raises InvalidError where a function is to have it. A mount of that kind needs FUSE, and so
    rights over the host that Wherry gives no container. Read and write the bucket with its own client inside the
    function, its credentials from a `Secret`; or mount it on the host and set WHERRY_VOLUMES_DIR to a directory there.
    """

    def __init__(
        self,
        bucket_name: str,
        bucket_endpoint_url: str | None = None,
        key_prefix: str | None = None,
        secret: Any = None,
        read_only: bool = False,
        requester_pays: bool = False,
        **later: Any,
    ) -> None:
        if not isinstance(bucket_name, str) or not bucket_name:
            raise InvalidError(f"CloudBucketMount got {bucket_name!r}: a bucket's name is a string")
        self.bucket_name = bucket_name
        self.bucket_endpoint_url = bucket_endpoint_url
        self.key_prefix = key_prefix
        self.secret = secret
        self.read_only = read_only

    def __repr__(self) -> str:
        return f"CloudBucketMount({self.bucket_name!r})"

    def _refuse(self, place: str) -> NoReturn:
        raise InvalidError(
            f"{self!r} at {place}: Wherry mounts no buckets, since that needs rights over the host that no container "
            "has. Use the bucket's own client in the function, with its credentials from a wherry.Secret"
        )
