"""Lessons for a class: JupyterLab at the first page, and handouts without solutions."""
