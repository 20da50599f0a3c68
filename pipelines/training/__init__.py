"""What learners share: crops, splits, augmentation, the loop, checkpoints. Knows no task."""
