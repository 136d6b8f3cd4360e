"""A hook of MkDocs: pages of the site that do not stand in docs/, links as they lead on the web, and charts.

Pages link to other files of the repository by their paths. On the site, a link to a page leads to that page.
Other files are not on the site, so a link to one becomes its text.

A notebook has each chart as a picture and as its specification. A page of the site draws the specification in
the colours of its theme, with a copy of Vega that is part of the site. Nothing is loaded from elsewhere.
"""

from __future__ import annotations

import json
import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

ROOT = Path(__file__).resolve().parents[1]
#: Page of the site -> its file in the repository, for pages that stand elsewhere.
PAGES = {
    "index.md": "README.md",
    "pages.md": "docs/README.md",  # its own name would be that of the first page
    "architecture.md": "ARCHITECTURE.md",
    "benchmarks.md": "benchmarks/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "quickstart-notebook.md": "examples/quickstart.ipynb",
    "guide-notebook.md": "examples/guide.ipynb",
}
#: Pictures that those pages show, by the folder of the page.
PICTURES = {"benchmarks/results": "results"}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
CODE = re.compile(r"(^[ ]*```.*?^[ ]*```$|`[^`\n]+`)", re.DOTALL | re.MULTILINE)
#: A chart of a notebook, its picture, and where its specification begins.
CHART = re.compile(r'<div id="tuner-chart-.*?</script>', re.DOTALL)
PICTURE, SPECIFICATION = re.compile(r"<img[^>]*>"), "embed.default(chart, "
VEGA, STYLE = "assets/vega.js", "assets/charts.css"
#: Draws the charts of a page, each in place of its picture.
DRAW = """
for (const place of document.querySelectorAll(".chart")) {
  const spec = JSON.parse(place.querySelector("script").textContent);
  vegaEmbed(place, spec, {renderer: "svg", actions: false});
}
"""
#: The colours of charts are variables of CSS. The ground is that of the page.
RULES = """
:root {%s --card: var(--md-default-bg-color)}
[data-md-color-scheme=slate] {%s --card: var(--md-default-bg-color)}
.chart svg, .chart img {max-width: 100%%; height: auto}
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that stand elsewhere, their pictures, and the reference of the package."""
    sys.path.insert(0, str(ROOT))
    files.remove(files.get_file_from_path("README.md"))
    for page, path in PAGES.items():
        files.append(File.generated(config, page, content=_content(ROOT / path)))
    for path, target in PICTURES.items():
        for picture in (ROOT / path).glob("*.svg"):
            files.append(File.generated(config, f"{target}/{picture.name}", abs_src_path=str(picture)))
    files.append(File.generated(config, "api.md", content=reference()))
    from tuner.reporting.figures.palette import css_variables
    from tuner.reporting.html.vega import vega_script

    rules = RULES % (css_variables(dark=False), css_variables(dark=True))
    files.append(File.generated(config, VEGA, content=vega_script()))
    files.append(File.generated(config, STYLE, content=rules))
    return files


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG001  # MkDocs passes it
    """Let a page with charts draw them."""
    if '<div class="chart">' not in output:
        return output
    vega, style = (get_relative_url(path, page.url) for path in (VEGA, STYLE))
    head = f'<link rel="stylesheet" href="{style}"></head>'
    scripts = f'<script src="{vega}"></script><script>{DRAW}</script></body>'
    return output.replace("</head>", head, 1).replace("</body>", scripts, 1)


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Let the links of a page lead to pages of the site."""
    here = page.file.src_uri
    source = PAGES.get(here, f"docs/{here}")
    parts = CODE.split(markdown)
    return "".join(
        part if index % 2 else LINK.sub(lambda found: _link(found, source), part)
        for index, part in enumerate(parts)
    )


def _link(found: re.Match[str], source: str) -> str:
    """Return a link of a file of the repository as a link of its page."""
    picture, text, target = found.groups()
    path, mark, anchor = target.partition("#")
    if ":" in path or not path:
        return found[0]
    wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    there = next((page for page, file in PAGES.items() if file == wanted), None)
    if there is None and wanted.startswith("docs/"):
        there = wanted.removeprefix("docs/")
    if there is None and picture:
        folder, _, name = wanted.rpartition("/")
        there = f"{PICTURES[folder]}/{name}"
    return f"{picture}[{text}]({there}{mark}{anchor})" if there is not None else text


def _content(path: Path) -> str:
    """Return the Markdown of a page, or of a notebook with the outputs that were kept."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    return "\n\n".join(part for cell in json.loads(text)["cells"] for part in _cell(cell))


def _cell(cell: dict[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] != "code":
        yield source
        return
    yield f"```python\n{source}\n```"
    printed = "".join("".join(one["text"]) for one in cell["outputs"] if one["output_type"] == "stream")
    if printed:
        yield f"```text\n{printed}\n```"
    for data in (one["data"] for one in cell["outputs"] if "data" in one):
        shown = "".join(data.get("text/html", ()))
        if shown:
            shown = CHART.sub(_chart, shown)
            yield "<div>" + re.sub(r"\n\s*\n", "\n", shown) + "</div>"
        elif "text/plain" in data:
            yield "```text\n" + "".join(data["text/plain"]) + "\n```"


def _chart(found: re.Match[str]) -> str:
    """Return a chart of a notebook as a picture with the specification that replaces it."""
    from tuner.reporting.figures.palette import themed

    text = found[0]
    spec, _ = json.JSONDecoder().raw_decode(text, text.index(SPECIFICATION) + len(SPECIFICATION))
    plain = json.dumps(themed(spec)).replace("</", "<\\/")
    picture = "".join(PICTURE.findall(text))
    return f'<div class="chart">{picture}<script type="application/json">{plain}</script></div>'


def reference() -> str:
    """Return the page on the public names of the package, functions first."""
    import tuner

    functions = [name for name in tuner.__all__ if not name[0].isupper()]
    classes = [name for name in tuner.__all__ if name[0].isupper()]
    intro = "What `import tuner` has. Each command of the command line is a function here."
    parts = [
        f"# Reference of the package\n\n{intro}",
        "## Functions",
        *(f"::: tuner.{name}" for name in functions),
    ]
    parts += ["## Classes", *(f"::: tuner.{name}" for name in classes)]
    parts += ["## Figures", "`board.plot` has these figures.", "::: tuner.reporting.plot.Plots"]
    return "\n\n".join(parts) + "\n"
