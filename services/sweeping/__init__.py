"""Sweeps: presets, the particles that they need, and what came of their trials."""
