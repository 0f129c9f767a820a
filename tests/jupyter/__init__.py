"""Notebooks, executed and in a real JupyterLab."""
