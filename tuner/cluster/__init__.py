"""A study on a running Ray cluster, from outside it: submit, follow, stop, read and fetch.

All goes through the cluster's Jobs API, so one port and one token are enough. `on_head` and `nodes` run on
the cluster's head; the others run where the user types.

    address    connect: the API, with every way in which that fails told apart
    parcel     what of the working folder goes to the cluster
    submit     a study as a job; which job runs a study
    follow     the lines of a job, until it ends or the user has seen enough
    asking     short jobs that read results: the leaderboard, the whole folder
    on_head    what those jobs run there: `python -m tuner.cluster.on_head`
    nodes      what must hold on all machines before the first trial
    versions   what has to be the same on both sides
    archive    a study's folder as one file, and back
    words      the lines by which both sides tell the parts of a job's output apart
"""

__all__: list[str] = []
