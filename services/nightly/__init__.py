"""The nightly job: what is new or changed is taken in, learnt from, judged and remembered."""
