"""Backends that live in worker processes: how these are started, asked, guarded and ended."""
