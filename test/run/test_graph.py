"""Which nodes share a process."""

from avatar_forcing_ros.run.graph import NodePlan, processes_of


def test_small_nodes_of_a_kind_share_a_process_and_the_others_have_their_own():
    nodes = [
        NodePlan("renderer", "renderer"),
        NodePlan("audio_ingest", "microphone", "user"),
        NodePlan("face_ingest", "face", "user"),
        NodePlan("audio_ingest", "speech", "speech"),
        NodePlan("media_source", "camera_source", "user", is_last=True),
    ]
    assert [process.path for process in processes_of(nodes)] == [
        "/avatar/renderer",
        "/avatar/user/microphone + /avatar/speech/speech",
        "/avatar/user/face",
        "/avatar/user/camera_source",
    ]
    assert [process.executable for process in processes_of(nodes)] == [
        "renderer", "audio_ingest", "face_ingest", "media_source",
    ]  # fmt: skip
    assert all(process.code is None for process in processes_of(nodes))
