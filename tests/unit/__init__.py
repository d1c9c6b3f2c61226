"""Tests of what the modules are made of: each stands at its source's path below plugins/."""
