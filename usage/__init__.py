"""GPU time: cohorts, enrolment, budgets, the ledger, leases, placement, the meter and their pages.

Other rooms import `usage.client` alone. The service itself, from pure to outside:

* `grants`, `placement`, `queue`, `idle`, `forms`: decisions without I/O.
* `models`, `database`, `migrations`: tables; one writer at a time on SQLite and PostgreSQL.
* `accounts`, `ledger`: the only code that changes accounts and entries. `leases`, `heartbeat`,
  `machines`, `waiting`, `windows`, `cohorts`, `requests`: what may happen, each inside one
  transaction. `views`, `desk`, `home`: questions.
* `service`: each operation in a transaction of its own; those of the `office`, on the queue
  (`queueing`) and of `prestart` in modules of their own. `meter`, `prestart.starter`: background
  tasks.
* `classroom`: the live view of a class, announcements, and what its staff does with labs.
* `api_internal` (our processes, by key), `api_lab` (labs, by their token), `pages`
  (people, signed in through the Hub), `metrics` (this machine).

At the Hub it is the external service ``usage`` with the token ``usage-hub-token`` and these scopes
(see hub.access): ``start:servers`` (the Start button), ``delete:servers`` (Stop, and the stop at a
deadline), ``read:servers`` and ``list:users`` (which lab a person has).

What the ledger promises stands in docs/reference/gpu-time.md and is audited by
tests/unit/usage/audit.py.
"""
