"""What runs inside the grading container: standard library and IPython only.

The host sends these files over the container's stdin at its start (`grader.zygote.host`), so image
and host never disagree about the protocol. `broker` is the container's first process and the only
one that sees submissions pass; `zygote` imports the packages and forks; `isolate` shuts a fork in;
`runner` executes one notebook in it.
"""
