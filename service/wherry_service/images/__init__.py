"""Image builds: a definition's identity, its Dockerfile, its base, and BuildKit that makes it."""
