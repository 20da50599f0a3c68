"""An instance segmenter that learns from masks: given, weak or simulated."""
