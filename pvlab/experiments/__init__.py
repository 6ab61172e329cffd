"""Runs side by side: techniques compared, exits of one iteration, grids of parameters, published figures predicted."""
