"""Tickets: a task tracker and lease coordinator for AI agents, over plain HTTP."""

__version__ = "0.1.0"
