"""Charts that show wherever a notebook is looked at: interactive where scripts run, else as a picture."""

from __future__ import annotations

import base64
import json
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuner.reporting.figures.figure import Chart

__all__ = ["shown_everywhere"]

#: Pixels of the picture for a pixel of the chart.
_SCALE = 1.5
#: A picture, and a script that puts the interactive chart in its place if the library can be loaded.
_HTML = """<div id="{name}">
<img src="data:image/png;base64,{picture}" style="max-width:100%" alt="chart">
</div>
<script type="module">
import("https://cdn.jsdelivr.net/npm/vega-embed@7/+esm").then(async (embed) => {{
  const chart = document.createElement("div");
  await embed.default(chart, {plain}, {{actions: false}});
  document.getElementById("{name}")?.replaceChildren(chart);
}}).catch(() => {{}});
</script>"""


def shown_everywhere(chart: Chart) -> Chart:
    """Return a chart that shows itself as a picture, and as an interactive chart where scripts can be loaded.

    Altair's own form has no picture. Pages that run no script, such as those of code hosts, would show
    nothing, and a machine without a network an error. If a person has enabled another renderer of Altair,
    that one is used.
    """
    import altair as alt  # noqa: PLC0415  # a second

    by_altair = chart._repr_mimebundle_  # what Jupyter calls

    def bundle(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401  # as Altair's
        if alt.renderers.active != "default":
            return by_altair(*arguments, **options)
        return {"text/html": _html(chart), "text/plain": repr(chart)}

    object.__setattr__(
        chart, "_repr_mimebundle_", bundle
    )  # of this chart; Altair's would add it to the drawing
    return chart


def _html(chart: Chart) -> str:
    import vl_convert  # noqa: PLC0415  # 60 MB

    plain = chart.to_dict()
    picture = base64.b64encode(vl_convert.vegalite_to_png(plain, scale=_SCALE)).decode("ascii")
    safe = json.dumps(plain).replace("</", "<\\/")  # a name of a trial cannot end the script
    return _HTML.format(name=f"tuner-chart-{uuid.uuid4().hex[:12]}", picture=picture, plain=safe)
