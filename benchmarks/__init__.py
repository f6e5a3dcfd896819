"""`./dev bench`: how fast Wherry is, beside floors and peers measured in the same run."""
