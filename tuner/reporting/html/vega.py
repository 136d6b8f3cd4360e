"""The JavaScript that draws charts, as one text that a page can hold."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

from tuner.artifacts.atomic import write_file

__all__ = ["vega_script"]


@cache
def vega_script() -> str:
    """Return Vega, Vega-Lite and vega-embed as one script, which defines ``vegaEmbed``.

    vl-convert contains them, and takes seconds to put them together. So the script is kept in the user's
    folder for caches, if that can be written.
    """
    kept = _cache_folder() / f"vega-{version('vl-convert-python')}-1.js"
    with suppress(OSError, UnicodeDecodeError):
        return kept.read_text(encoding="utf-8")
    import vl_convert  # noqa: PLC0415  # a large library, which nothing else of a page needs

    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    script = _harmless(f"(() => {{\n{bundle}\n}})();")  # its many names are not those of the page
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_file(kept, script.encode())
    return script


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rectools-tuner"


def _harmless(script: str) -> str:
    """Return a script without texts that would end, or change, the element around it."""
    return script.replace("</script", r"<\/script").replace("<!--", r"<\!--")
