"""What `puntual up` says before and after; that it runs is shown end to end."""

from collections import Counter

import pytest

from services.cli.up import farewell, hint, whereabouts

USUAL = {"promises": 9111, "sla": 9112, "notifier": 9113}


@pytest.mark.parametrize(
    ("bootstrap", "prefix", "ports", "watch", "explain"),
    [
        ("127.0.0.1:9092", "puntual.", {}, "", ""),
        ("127.0.0.1:7001", "puntual.", {"notifier": 7004}, " --kafka 127.0.0.1:7001", ""),
        ("127.0.0.1:9092", "demo.", {"sla": 7003}, " --prefix demo.", " --sla 127.0.0.1:7003"),
        (
            "k:1", "demo.", {"promises": 7002, "sla": 7003}, " --kafka k:1 --prefix demo.",
            " --promises 127.0.0.1:7002 --sla 127.0.0.1:7003",
        ),
    ],
)  # fmt: skip
def test_the_commands_for_another_terminal_find_this_run(
    bootstrap: str, prefix: str, ports: dict[str, int], watch: str, explain: str
) -> None:
    """Each names the addresses that are not the usual ones, and no other."""
    said = hint(bootstrap, prefix, {**USUAL, **ports})
    assert said == f"In another terminal: puntual watch{watch}, or puntual explain CUSTOMER/KIND/SUBJECT{explain}"


@pytest.mark.parametrize(
    ("kafka", "bootstrap", "said"),
    [
        (None, "127.0.0.1:9092", "Kafka on 127.0.0.1:9092"),
        ("k:1", "k:1", "Kafka on k:1"),
        (None, "127.0.0.1:7001", "9092 is in use (another `make run`?); this one is at 127.0.0.1:7001"),
    ],
)
def test_a_broker_that_is_not_where_it_is_looked_for_says_why(kafka: str | None, bootstrap: str, said: str) -> None:
    """Two runs on one machine are told apart."""
    assert whereabouts(kafka, bootstrap) == said


def test_what_was_seen_is_counted_as_people_count() -> None:
    """What is too common to show is not counted, and one is not many."""
    assert farewell(Counter()) == "stopped; nothing happened"
    assert (
        farewell(Counter(kept_late=1, broken=2, made=9, notification=1))
        == "stopped; 2 broken, 1 kept late, 1 notification"
    )
    assert farewell(Counter(notification=1200)) == "stopped; 1,200 notifications"
