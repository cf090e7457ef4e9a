"""What every page is rendered with: templates of this package, and words as filters."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from neurorobust.report import words


def environment() -> Environment:
    """Escapes everything, and refuses names that a template was not given."""
    made = Environment(
        loader=PackageLoader("neurorobust", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "percent": words.percent,
        "interval": words.interval,
        "count": words.count,
        "duration": words.duration,
        "settings": words.settings,
    }
    return made
