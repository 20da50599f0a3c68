"""Classifiers of particles: networks, ways of learning, training and prediction."""
