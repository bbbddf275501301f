"""The phone on the desk: other processors, other runtimes, and what a phone limits."""
