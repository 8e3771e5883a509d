"""Puntual's services: promises, sla and notifier, what they share, and the command line."""
