"""What the launch files share: their arguments, and which parameters of which nodes these set. Needs no launch to be imported.

An argument that is a setting of a node has its words and range from there (ros/settings.py). Given arguments win over params_file;
empty ones leave what is there.
"""

from __future__ import annotations

from typing import Any

from avatar_forcing_ros.paths import PACKAGE
from avatar_forcing_ros.ros.setting import settings_in
from avatar_forcing_ros.ros.settings import (
    FaceIngestSettings,
    ListenerSettings,
    MotionGeneratorSettings,
    NodeSettings,
    RendererSettings,
    SpeakerSettings,
)

# Nodes of the face by their names in the graph.
FACE_NODES: dict[str, type[NodeSettings]] = {
    "face": FaceIngestSettings, "motion_generator": MotionGeneratorSettings, "renderer": RendererSettings,
    "speaker": SpeakerSettings, "listener": ListenerSettings,
}  # fmt: skip
# Arguments that are settings: the parameter's name, and the nodes that have it. Their default is empty.
_SETTINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "camera_compressed": ("compressed", ("face",)),
    "camera_reliable": ("reliable", ("face",)),
    "generator": ("generator", ("motion_generator",)),
    "weights": ("weights", ("motion_generator", "renderer", "face")),
    "device": ("device", ("motion_generator", "renderer", "face")),
    "precision": ("precision", ("motion_generator", "renderer", "face")),
    "voice": ("voice", ("speaker",)),
    "barge_in": ("barge_in", ("listener",)),
    "avatar": ("avatar", ("renderer",)),
    "portrait": ("portrait", ("renderer", "motion_generator")),
    "theme": ("theme", ("renderer",)),
    "size": ("size", ("renderer",)),
    "presentation_delay": ("presentation_delay", ("renderer",)),
    "commit_frames": ("commit_frames", ("motion_generator",)),
}
# All others: default and description.
_PLAIN: dict[str, tuple[str, str]] = {
    "namespace": ("avatar", "namespace of all nodes and topics of this avatar; several may share one domain"),
    "camera": (
        "camera/image_raw",
        "topic of the user's camera (sensor_msgs/Image); a relative name is in <namespace>/user",
    ),
    "microphone": ("audio_stamped", "topic of the user's voice (stamped sound of audio_common_msgs)"),
    "microphone_info": ("audio_info", "topic that describes the user's sound (AudioInfo)"),
    "speech": (
        "audio_stamped",
        "topic of the avatar's own speech, which may come faster than real time; a relative name is in <namespace>/speech",
    ),
    "speech_info": ("audio_info", "topic that describes the speech (AudioInfo)"),
    "params_file": ("", "parameters of the nodes (YAML); empty: the package's config/nodes.yaml"),
    "use_sim_time": ("false", "follow /clock, as when a bag is replayed"),
    "fastdds_profile": ("true", "use this package's Fast DDS profile, whose shared memory holds raw images"),
}


def arguments(**defaults: str) -> dict[str, tuple[str, str]]:
    """Argument -> (default, description) of all that a face has; `defaults` replaces some defaults."""
    found = dict(_PLAIN)
    for name, (parameter, nodes) in _SETTINGS.items():
        one = settings_in(FACE_NODES[nodes[0]])[parameter]
        limits = f"; {one.range}" if one.range and not one.choices else ""
        choices = f"; one of {', '.join(one.choices)}" if one.choices else ""
        found[name] = ("", one.text + limits + choices)
    unknown = set(defaults) - set(found)
    if unknown:
        raise KeyError(f"no such launch argument: {', '.join(sorted(unknown))}")
    return {name: (defaults.get(name, default), text) for name, (default, text) in found.items()}


def given_parameters(node: str, values: dict[str, str]) -> dict[str, Any]:
    """The parameters that a node of FACE_NODES gets from the arguments that are not empty. Raises InputError."""
    found = {}
    for argument, (parameter, nodes) in _SETTINGS.items():
        if node in nodes and values.get(argument):
            one = settings_in(FACE_NODES[node])[parameter]
            found[parameter] = one.to_ros(one.parse(values[argument]))
    if node == "face" and values.get("generator"):
        found["space"] = space_of(values["generator"])
    return found


def space_of(generator: str) -> str:
    from avatar_forcing_ros.generators import back_end

    one = settings_in(MotionGeneratorSettings)["generator"]
    return back_end(one.checked(generator)).space


def declared(table: dict[str, tuple[str | None, str]]) -> list:
    """A DeclareLaunchArgument for each argument; default None: it has to be given."""
    from launch.actions import DeclareLaunchArgument

    return [
        DeclareLaunchArgument(name, default_value=default, description=text) for name, (default, text) in table.items()
    ]


def include_face(table: dict[str, tuple[str | None, str]], **fixed: str) -> Any:
    """avatar.launch.py with the arguments of `table` that it has, and some fixed ones."""
    from launch.actions import IncludeLaunchDescription
    from launch.launch_description_sources import PythonLaunchDescriptionSource
    from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
    from launch_ros.substitutions import FindPackageShare

    core = PathJoinSubstitution([FindPackageShare(PACKAGE), "launch", "avatar.launch.py"])
    passed_on = {name: LaunchConfiguration(name) for name in arguments() if name in table} | fixed
    return IncludeLaunchDescription(PythonLaunchDescriptionSource(core), launch_arguments=list(passed_on.items()))


def text(value: str) -> Any:
    """A parameter that stays a text, also where it looks like a number."""
    from launch_ros.parameter_descriptions import ParameterValue

    return ParameterValue(value, value_type=str)
