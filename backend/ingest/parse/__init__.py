"""Bytes of an untrusted file to a title and blocks, in a child process with limits.

`detect` says what a file is, `names` what it may be called, `readers` who reads it: `plain`, `markdown`, and
what is in `web`, `pages` (PDF) and `office`. Each reads one format and is pure; `child` runs them in a
process of its own, `reader` talks to that process.
"""
