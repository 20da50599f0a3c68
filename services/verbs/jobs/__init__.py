"""Jobs that were submitted to a Ray cluster: which there are, what they say, how they end."""

ACTIONS: dict[str, tuple[str, str]] = {
    "list": ("services.verbs.jobs.list_jobs", "every job, newest first"),
    "show": ("services.verbs.jobs.show", "one job: command, status, times"),
    "logs": ("services.verbs.jobs.logs", "what a job said, or says"),
    "stop": ("services.verbs.jobs.stop", "end a job; the same command goes on later"),
}
