"""What labs may reach on this machine: the rules word by word, and when they count as in force."""

from __future__ import annotations

from typing import Any

import pytest

from core.settings import Ports, Settings
from labs import firewall, network

GATEWAY = "10.9.0.1"
SETTINGS = Settings(instance="dli-x", ports=Ports(public=8000, hub=8081))
NETWORK = {"Id": "0123456789abcdef", "Name": "n", "Options": {}}
CHAIN = firewall.chain_of(SETTINGS)
ENTRY = f"-A INPUT -i br-0123456789ab -j {CHAIN}"
RULES = [
    "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    f"-d {GATEWAY}/32 -p tcp -m tcp --dport 8000 -j ACCEPT",
    f"-d {GATEWAY}/32 -p tcp -m tcp --dport 8081 -j ACCEPT",
    "-j REJECT --reject-with icmp-port-unreachable",
]
LISTED = [f"-N {CHAIN}", *(f"-A {CHAIN} {rule}" for rule in RULES)]


def test_labs_reach_the_proxy_and_the_hub_and_nothing_else() -> None:
    assert firewall.rules(GATEWAY, SETTINGS) == RULES


@pytest.mark.parametrize(
    ("chain", "entered", "in_force"),
    [
        (LISTED, [ENTRY], True),
        (LISTED, ["-A INPUT -i br-ffffffffffff -j DLI-ffffffffffffffff", ENTRY], True),
        (LISTED, ["-A INPUT -j ACCEPT", ENTRY], False),
        (LISTED, [], False),
        (LISTED, [f"-A INPUT -i br-ffffffffffff -j {CHAIN}"], False),
        ([], [ENTRY], False),
        (LISTED[:-1], [ENTRY], False),
        ([*LISTED, f"-A {CHAIN} -j ACCEPT"], [ENTRY], False),
        ([*LISTED, LISTED[1]], [ENTRY], False),
    ],
    ids=["ours", "another instance first", "let in before", "not entered", "another bridge",
         "no chain", "no refusal", "one rule more", "one rule twice"],
)  # fmt: skip
def test_rules_are_in_force_only_whole_and_first(
    monkeypatch: pytest.MonkeyPatch, chain: list[str], entered: list[str], in_force: bool
) -> None:
    def lines(*words: str, missing_is_empty: bool = False) -> list[str]:
        return ["-P INPUT ACCEPT", *entered] if words[-1] == "INPUT" else chain

    monkeypatch.setattr(firewall, "_lines", lines)
    assert firewall.holds(NETWORK, GATEWAY, SETTINGS) is in_force


def closed(**other: Any) -> dict[str, Any]:
    """The labs' network as Docker describes it."""
    return {
        "Name": "n",
        "Labels": {"dli.instance": "dli-x"},
        "Internal": True,
        "Options": {"com.docker.network.bridge.enable_icc": "false"},
    } | other


def test_a_network_that_is_open_or_somebody_elses_is_not_used() -> None:
    network._check(closed(), SETTINGS)
    for other in (
        {"Internal": False},
        {"Options": {}},
        {"Options": {"com.docker.network.bridge.enable_icc": "true"}},
        {"Labels": {"dli.instance": "another"}},
        {"Labels": None},
    ):
        with pytest.raises(network.NetworkError):
            network._check(closed(**other), SETTINGS)
