"""Simulated scenes with known truth: chiral particles in a scanning electron microscope."""
