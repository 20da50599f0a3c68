"""Result versions of stages, told without importing what they compute with.

Each is raised whenever the same settings and data give another result; a night that meets a
higher one than the night before does the stage anew.
"""

LABEL = 1
TRAIN = 2
CLEAN = 2
PREDICT = 1
