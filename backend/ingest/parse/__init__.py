"""Bytes of an untrusted file to a title and blocks, in a child process with limits.

`detect` says what a file is, `names` what it may be called; `markdown`, `html`, `pdf` and `plain` read one
format each and are pure; `child` runs them in a process of its own, `reader` talks to that process.
"""
