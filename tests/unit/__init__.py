"""Tests of what the modules are made of: each is at its source's path below plugins/."""
