"""The domain of a run: nobody else's, told, and another one where it is asked for."""

import os
import socket

from avatar_forcing_ros.ros.graph import domain as domains
from avatar_forcing_ros.run.graph import Graph


def test_two_runs_never_get_one_domain_and_a_domain_is_free_again():
    first, second = domains.own_domain(), domains.own_domain()
    try:
        assert first != second and {first, second} <= set(domains.DOMAINS)
    finally:
        domains.give_back(first)
        domains.give_back(second)
    again = domains.own_domain()
    domains.give_back(again)
    assert again == first


def test_a_domain_that_somebody_elses_nodes_are_in_is_left_alone():
    free = domains.own_domain()
    domains.give_back(free)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as participant:
        participant.bind(("", 7410 + 250 * free))
        other = domains.own_domain()
        domains.give_back(other)
    assert other != free


def test_the_users_domain_and_a_number_are_taken_as_they_are(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "42")
    assert domains.environment_of(None)["ROS_DOMAIN_ID"] == "42"
    assert domains.environment_of("7") == {"ROS_DOMAIN_ID": "7"}
    monkeypatch.delenv("ROS_DOMAIN_ID")
    assert domains.environment_of("user") == {"ROS_DOMAIN_ID": "0"}


def test_a_run_says_where_its_nodes_are_and_leaves_this_processs_environment_alone(monkeypatch):
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    monkeypatch.delenv("ROS_AUTOMATIC_DISCOVERY_RANGE", raising=False)
    graph = Graph([])
    own = graph.environment["ROS_DOMAIN_ID"]
    with graph:
        assert os.environ["ROS_DOMAIN_ID"] == own
    assert "ROS_DOMAIN_ID" not in os.environ
    assert graph.domain_line() == f"the nodes are in ROS_DOMAIN_ID={own} ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST"
