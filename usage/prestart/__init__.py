"""Labs started before their learners come, so that a class finds them ready.

* `models`: one row for each learner's lab that is to be started, or was.
* `rows`: what becomes of such a lab, in the database: asked for, ready, opened, returned.
* `acts`: order a batch, cancel it, note that a learner came.
* `starter`: asks the Hub for them, a few at a time, and gives back what nobody opened.

The rule on cost: a prestarted lab is free until its learner opens it, and free altogether when it
is returned unopened. While it waits, its time is set aside and charged like any other lab's, so
that the cap holds; what was charged is refunded with the first report after it was opened, or at
its end.
"""
