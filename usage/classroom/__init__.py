"""The live class view: who is in, which lab runs, how far everybody is, who needs help.

* `models`: what labs report of themselves, and announcements.
* `activity`: a lab's own counters, and who is stuck (pure).
* `announcements`: what staff says to all labs of a cohort.
* `coursework`: the grader service's word on who fetched, submitted and scored.
* `roll`: everything of one class in a fixed number of questions, however many learners there are.
* `labs`: stop, restart, start for all, more time.
"""
