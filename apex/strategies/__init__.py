"""Strategies that come with APEX: parameters with bounds, and what to do when called."""
