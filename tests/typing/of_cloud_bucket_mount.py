"""Buckets. Checked, never executed."""

from typing import assert_type

import wherry

bucket = wherry.CloudBucketMount("a", read_only=True, secret=wherry.Secret.from_name("s"))
assert_type(bucket, wherry.CloudBucketMount)
wherry.CloudBucketMount(1)  # type: ignore[arg-type]
