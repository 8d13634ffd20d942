"""Tests. Packages, so that equal file names never meet and no folder shadows a room."""
