"""The avatar itself: sound and face ingest, motion generator, renderer. The other launch files include this one."""

from launch.actions import GroupAction, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node, PushRosNamespace, SetParameter
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from avatar_forcing_ros.ros.graph import launching
from avatar_forcing_ros.ros.graph.domain import PROFILE_VARIABLE
from launch import LaunchDescription

PACKAGE = "avatar_forcing_ros"
SHARE = FindPackageShare(PACKAGE)
ARGUMENTS = launching.arguments()


def _nodes(context):
    """The nodes, each with the parameters that were given as arguments on top of the file's."""
    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    params_file = value["params_file"] or PathJoinSubstitution([SHARE, "config", "nodes.yaml"])

    def node(executable, name, namespace="", remappings=()):
        parameters = launching.given_parameters(name, value)
        parameters = {n: launching.text(v) if isinstance(v, str) else v for n, v in parameters.items()}
        return Node(
            package=PACKAGE,
            executable=executable,
            name=name,
            namespace=namespace,
            parameters=[params_file, *([parameters] if parameters else [])],
            remappings=list(remappings),
            output="screen",
            respawn=True,  # of a process that has ended; one that cannot be configured stays and says why in /diagnostics
            respawn_delay=2.0,
        )

    sound = [("audio_stamped", value["microphone"]), ("audio_info", value["microphone_info"])]
    speech = [("audio_stamped", value["speech"]), ("audio_info", value["speech_info"])]
    camera = [
        ("camera/image_raw", value["camera"]),
        ("camera/image_raw/compressed", value["camera"] + "/compressed"),
    ]
    return [
        node("audio_ingest", "microphone", "user", sound),
        node("audio_ingest", "speech", "speech", speech),
        node("speaker", "speaker"),
        node("listener", "listener"),
        node("face_ingest", "face", "user", camera),
        node("motion_generator", "motion_generator"),
        node("renderer", "renderer"),
    ]


def generate_launch_description() -> LaunchDescription:
    use_sim_time = ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool)
    return LaunchDescription(
        [
            *launching.declared(ARGUMENTS),
            SetEnvironmentVariable(
                PROFILE_VARIABLE,
                PathJoinSubstitution([SHARE, "config", "fastdds.xml"]),
                condition=IfCondition(LaunchConfiguration("fastdds_profile")),
            ),
            GroupAction(
                [
                    PushRosNamespace(LaunchConfiguration("namespace")),
                    SetParameter("use_sim_time", use_sim_time),
                    OpaqueFunction(function=_nodes),
                ]
            ),
        ]
    )
