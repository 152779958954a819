"""The latency table: small models of a family are built, measured, and explained by their parts."""
