"""The grading executor: one container with a pre-imported process that forks per submission.

`sandbox.ZygoteSandbox` answers the room's `Sandbox`; `host.Zygote` is one container; `session` the
conversation with one fork, by `protocol`; `batch.ClassRun` grades a class in one pass over one open
gradebook (`onebook`). `inside` is what runs in the container.
"""
