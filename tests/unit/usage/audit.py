"""The ledger's promises, checked from the raw rows by code that shares nothing with the service."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import text

from store.database import Database


def check(database: Database, learner_caps: bool = True) -> None:
    """Raise AssertionError when a promise does not hold in this database.

    `learner_caps` False: a learner's cap was lowered, possibly below what was used already.
    """
    with database.engine.connect() as connection:
        rows = {
            name: [dict(r) for r in connection.execute(text(f"SELECT * FROM {name}")).mappings()]
            for name in ("accounts", "entries", "leases", "lease_slots")
        }
    _balances(rows, learner_caps)
    _leases(rows)
    open_slots = [r["slot_id"] for r in rows["lease_slots"] if r["open"]]
    assert len(open_slots) == len(set(open_slots)), "two open leases hold one slot"


def _balances(rows: dict, learner_caps: bool) -> None:
    pool_sum, used, over, held = (defaultdict(int) for _ in range(4))
    for entry in rows["entries"]:
        pool_sum[entry["cohort_id"]] += entry["amount"]
        if entry["kind"] in ("charge", "refund"):
            for who in ("", entry["username"]):
                used[entry["cohort_id"], who] -= entry["amount"]
                over[entry["cohort_id"], who] += entry["overrun"]
    for lease in rows["leases"]:
        for who in ("", lease["username"]):
            held[lease["cohort_id"], who] += lease["reserved"]
    for account in rows["accounts"]:
        key = account["cohort_id"], account["username"]
        assert account["settled"] == used[key], f"{key}: settled is not the sum of its charges"
        assert account["overrun"] == over[key], f"{key}: overrun is not the sum of its parts"
        assert account["reserved"] == held[key], f"{key}: reserved is not the sum of open grants"
        if account["cap"] is not None and (learner_caps or account["username"] == ""):
            spent = account["settled"] - account["overrun"] + account["reserved"]
            assert spent <= account["cap"], f"{key}: settled + reserved passes the cap"
        if account["username"] == "":
            balance = account["cap"] - account["settled"]
            assert balance == pool_sum[key[0]], f"{key}: balance is not the sum of its entries"


def _leases(rows: dict) -> None:
    charged, refunded = defaultdict(int), defaultdict(int)
    for entry in rows["entries"]:
        if entry["kind"] == "charge":
            charged[entry["lease_id"]] -= entry["amount"]
        if entry["kind"] == "refund":
            refunded[entry["lease_id"]] += entry["amount"]
    for lease in rows["leases"]:
        used = lease["held_ms"] * lease["weight"]
        assert lease["posted"] == charged[lease["id"]] <= used, f"{lease['id']}: charged too much"
        if lease["state"] == "ended":
            assert lease["reserved"] == 0, f"{lease['id']}: ended with a reservation"
            free = charged[lease["id"]] - refunded[lease["id"]] == 0
            assert charged[lease["id"]] == used or free, f"{lease['id']}: not charged what it held"
        else:
            paid = lease["posted"] + lease["reserved"]
            granted = max(lease["grant_ms"] * lease["weight"], lease["posted"])
            assert paid == granted, f"{lease['id']}: runs on a grant that is not set aside"
