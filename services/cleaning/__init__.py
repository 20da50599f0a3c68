"""Finding wrong labels: plan, out-of-sample predictions, judgement, the new label version."""
