"""What is computed: one folder per stage, pure files plus one ``flow.py`` that may use Ray."""
