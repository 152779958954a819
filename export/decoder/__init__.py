"""Decoders as stateful IRs: converted, compressed, and measured token by token."""
