"""Ways in over gRPC: each servicer translates, authorizes and delegates; no logic lives here."""
