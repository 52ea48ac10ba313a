"""Nodes are configured, parametrised and activated although answers get lost."""

import pytest

from avatar_forcing_ros.errors import AvatarForcingError


class Deaf:
    """A service's client whose first requests do not arrive, or whose first answers do not."""

    def __init__(self, client, lost: int, heard: bool) -> None:
        self._client, self._lost, self._heard = client, lost, heard
        self.wait_for_service, self.service_is_ready = client.wait_for_service, client.service_is_ready

    def call_async(self, request):
        from rclpy.task import Future

        self._lost -= 1
        if self._lost < 0 or self._heard:
            answer = self._client.call_async(request)
        return answer if self._lost < 0 else Future()

    def remove_pending_request(self, future):
        """Of one that was lost the client knows nothing."""


@pytest.mark.parametrize("heard", [False, True], ids=["request", "answer"])
def test_what_is_lost_is_asked_again(ros, monkeypatch, heard):
    from rclpy.lifecycle import LifecycleNode

    from avatar_forcing_ros.ros.graph import lifecycle_client

    monkeypatch.setattr(lifecycle_client, "_LOST_S", 0.2)
    node = LifecycleNode("face", context=ros.context)
    node.declare_parameter("start_time", 0.0)
    ros.executor.add_node(node)
    with lifecycle_client.LifecycleClient("/") as client:
        client.wait_for_state(["/face"], "unconfigured", 30.0, lambda: None)
        of = client._client
        deaf: dict = {}
        monkeypatch.setattr(
            client,
            "_client",
            lambda kind, name: deaf.setdefault(name, Deaf(of(kind, name), 0 if "get" in name else 2, heard)),
        )
        client.set_parameter("/face", "start_time", 2.5)
        assert node.get_parameter("start_time").value == 2.5
        assert client.change_state("/face", "configure")
        client.wait_for_state(["/face"], "inactive", 30.0, lambda: None)
        assert client.change_state("/face", "activate")
        client.wait_for_state(["/face"], "active", 30.0, lambda: None)
        assert not client.change_state("/face", "activate")  # it is there: refused, as the node says
    node.destroy_node()


def test_who_never_answers_is_named(ros, monkeypatch):
    from avatar_forcing_ros.ros.graph import lifecycle_client

    monkeypatch.setattr(lifecycle_client, "_CALL_TIMEOUT_S", 0.5)
    monkeypatch.setattr(lifecycle_client, "_LOST_S", 0.1)
    with lifecycle_client.LifecycleClient("/") as client:
        with pytest.raises(AvatarForcingError, match="start_time of /nobody .*no answer"):
            client.set_parameter("/nobody", "start_time", 1.0)
        assert not client.change_state("/nobody", "configure")
