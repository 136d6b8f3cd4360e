"""Write docs/images/run.svg: a terminal that follows a real run, drawn from what `tuner watch` shows of it.

python docs/recording.py examples/quickstart.yaml --trials 24 --set resources.cpus_per_trial=0.25
"""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

from rich.console import Console

from tuner.progress import Progress
from tuner.spec import Study
from tuner.watch import watch

IMAGE = Path(__file__).with_name("images") / "run.svg"
WIDTH, ENDED, RUNNING = 112, 8, 4


def main(study: str, *options: str) -> None:
    with tempfile.TemporaryDirectory() as output:
        command = [sys.executable, "-m", "tuner.cli", "run", study, *options, "--output", output]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as run:
            lines, standing = _followed(Path(output) / Study.load(study).study, run)
            run.send_signal(signal.SIGINT)
    terminal = Console(record=True, width=WIDTH, height=40, file=io.StringIO(), force_terminal=True)
    terminal.print(f"[bold]$[/bold] tuner run {study}", highlight=False)
    for line in lines:
        terminal.print(line, highlight=False, markup=False, no_wrap=True, overflow="ellipsis")
    terminal.print(standing)
    IMAGE.write_text(terminal.export_svg(title="tuner run"), encoding="utf-8")
    print(f"{IMAGE}: {IMAGE.stat().st_size / 1024:.0f} kB")


def _followed(folder: Path, run: subprocess.Popen[bytes]) -> tuple[list[str], object]:
    """Return the lines and the live view of a run once some trials have ended and some are running."""
    shown = io.StringIO()
    console = Console(file=shown, width=400, soft_wrap=True)
    made: list[Progress] = []

    def progress_of(**facts: object) -> Progress:
        made.append(partial(Progress, console, folder=f"studies/{folder.name}")(**facts))  # type: ignore[arg-type]  # by name
        return made[0]

    threading.Thread(target=watch, args=(folder, progress_of, lambda _: None), daemon=True).start()
    while run.poll() is None:
        time.sleep(0.5)
        lines = shown.getvalue().splitlines()
        if len(lines) >= ENDED and made:
            standing = made[0].standing()
            if len(standing.running) >= RUNNING and any(trial.epoch for trial in standing.running):
                return lines, standing
    raise SystemExit("the run ended before enough was to be seen; more --trials?")


if __name__ == "__main__":
    main(*sys.argv[1:])
