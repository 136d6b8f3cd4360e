"""Runs studies on a Ray cluster from another machine: submit, follow, stop, read results and fetch them.

All communication uses the cluster's Jobs API. So one port and one token are enough. `on_head` and `preflight`
run on the head of the cluster. The other modules run on the user's machine.

    connection       connects to the Jobs API, with a clear message for each way in which this fails
    working_folder   chooses which files of the working folder are sent to the cluster
    submit           runs a study as a job, and finds the job that runs a study
    follow           shows the output of a job until it ends or the user interrupts
    queries          runs short jobs that read results: the leaderboard, the whole folder
    on_head          what the jobs run on the head: `python -m tuner.cluster.on_head`
    preflight        checks all machines before the first trial
    version_check    checks that both sides have the same versions
    archive          packs the folder of a study into one file, and unpacks it
    job_output       the lines that separate the parts of a job's output
"""

__all__: list[str] = []
