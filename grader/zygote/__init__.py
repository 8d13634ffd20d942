"""The grading executor: one container with a pre-imported process that forks per submission.

`host.Zygote` runs jobs; `plan` turns a sanitised notebook into a job; `verdict` turns what came
back into outputs that nbgrader scores; `preprocessor.ZygoteExecute` puts the three in the place of
nbgrader's Execute; `batch.BatchAutograde` grades a class with it. `integrity` looks at what a
submission did to its grade cells. `inside` is what runs in the container.
"""
