"""Write docs/images/run.svg: a terminal in which a study runs, from a run that is under way.

tuner run examples/quickstart.yaml --trials 24 2> run.log
python docs/recording.py studies/quickstart run.log --trials 24
(from another terminal, before the first has ended)
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console

from tuner.monitoring.console import Progress
from tuner.store import read_records
from tuner.workflows.watch import facts_of, show_running

IMAGE = Path(__file__).with_name("images") / "run.svg"
WIDTH = 112


def main(folder: Path, log: Path, *options: str) -> None:
    stored = read_records(folder)
    terminal = Console(record=True, width=WIDTH, height=40, file=io.StringIO(), force_terminal=True)
    progress = Progress(terminal, **facts_of(stored, folder), folder=f"studies/{folder.name}")
    progress.remember(stored.records)
    show_running(stored.records, progress)
    command = " ".join(["tuner run", f"examples/{folder.name}.yaml", *options])
    terminal.print(f"[bold]$[/bold] {command}", highlight=False)
    for line in log.read_text(encoding="utf-8").splitlines():
        shown = line.replace(str(folder), f"studies/{folder.name}")
        terminal.print(shown, highlight=False, markup=False, no_wrap=True, overflow="ellipsis")
    terminal.print(progress.live_table())
    # Fonts of another host are no part of the picture.
    drawn = re.sub(r"@font-face \{.*?\}", "", terminal.export_svg(title="tuner run"), flags=re.DOTALL)
    IMAGE.write_text(drawn, encoding="utf-8")
    print(f"{IMAGE}: {IMAGE.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
