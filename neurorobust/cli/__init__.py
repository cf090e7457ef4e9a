"""The command line; see app.py."""

from neurorobust.cli.app import app

__all__ = ["app"]
