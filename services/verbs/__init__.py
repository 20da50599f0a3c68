"""One file per verb: settings, plan, connect, run, remember."""
