"""A cloud's bills: a name that programs may import, and that refuses to be used."""

from wherry._base.elsewhere import refused

workspace_billing_report = refused("modal.billing.workspace_billing_report")
