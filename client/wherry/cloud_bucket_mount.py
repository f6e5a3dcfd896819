"""Buckets of S3-compatible stores as directories."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from wherry._base.hints import Any
from wherry.exception import InvalidError
from wherry.secret import Secret

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}\Z")


class CloudBucketMount:
    """A bucket of an S3-compatible store that functions and sandboxes have as a directory, in `volumes=`.

    `bucket_endpoint_url` is "https://HOST:PORT", None for Amazon's S3; `key_prefix` ends with "/" and mounts only what
    is below it; `secret` has AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, perhaps AWS_SESSION_TOKEN and AWS_REGION, and
    without one the bucket is read as by anyone; `read_only` refuses writing; `requester_pays` for buckets whose reader
    pays. Raises InvalidError for what can't be. What a function has written and closed is in the bucket when its call
    has returned. (reference: CloudBucketMount)
    """

    def __init__(
        self,
        bucket_name: str,
        bucket_endpoint_url: str | None = None,
        key_prefix: str | None = None,
        secret: Secret | None = None,
        oidc_auth_role_arn: str | None = None,
        read_only: bool = False,
        requester_pays: bool = False,
        force_path_style: bool = False,
    ) -> None:
        # Stores other than Amazon's are always asked by path, so `force_path_style` has nothing left to change.
        if not isinstance(bucket_name, str) or not _BUCKET.match(bucket_name):
            raise InvalidError(
                f"CloudBucketMount got {bucket_name!r}: a bucket's name is a string of letters, digits, '.', '_' and "
                "'-'; what is below a directory of it is mounted with key_prefix="
            )
        self.bucket_name = bucket_name
        self.bucket_endpoint_url = self._checked_endpoint(bucket_endpoint_url)
        self.key_prefix = self._checked_prefix(key_prefix)
        if secret is not None and not isinstance(secret, Secret):
            # Not shown: it may be what should be secret.
            raise InvalidError(
                f"{self!r} got a secret of type {type(secret).__name__}: give a wherry.Secret, for example "
                'Secret.from_name("my-aws-secret")'
            )
        if oidc_auth_role_arn is not None:
            raise InvalidError(f"{self!r}: this service has no identity for oidc_auth_role_arn: give a secret")
        if requester_pays and secret is None:
            raise InvalidError(f"{self!r}: requester_pays=True needs a secret, which says who pays")
        self.secret = secret
        self.read_only = bool(read_only)
        self.requester_pays = bool(requester_pays)

    def __repr__(self) -> str:
        return f"CloudBucketMount({self.bucket_name!r})"

    def _checked_endpoint(self, url: Any) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url) if isinstance(url, str) else None
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise InvalidError(f"{self!r}: bucket_endpoint_url must be https://HOST or https://HOST:PORT")
        return str(url)

    def _checked_prefix(self, prefix: Any) -> str | None:
        if prefix is None:
            return None
        if not isinstance(prefix, str) or not prefix.endswith("/"):
            raise InvalidError(f'{self!r}: key_prefix is {prefix!r}: it must end with "/", as in "data/"')
        if prefix.startswith("/") or "\0" in prefix or not {".", "..", ""}.isdisjoint(prefix[:-1].split("/")):
            raise InvalidError(f"{self!r}: key_prefix is {prefix!r}: a prefix has no '/' in front, no '..', no '//'")
        return prefix
