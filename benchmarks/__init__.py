"""Ratios against what a user would use instead; `./dli bench NAME` runs one."""
