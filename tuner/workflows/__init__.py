"""A module for each thing that a user asks for."""

__all__: list[str] = []
