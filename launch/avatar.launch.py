"""The avatar itself: sound and face ingest, motion generator, renderer. The other launch files include this one."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node, PushRosNamespace, SetParameter
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

PACKAGE = "avatar_forcing_ros"
SHARE = FindPackageShare(PACKAGE)

ARGUMENTS = (
    ("namespace", "avatar", "namespace of all nodes and topics of this avatar; several may share one domain"),
    ("camera", "camera/image_raw", "topic of the user's camera (sensor_msgs/Image); a relative name is in <namespace>/user"),
    ("camera_compressed", "", "true: read <camera>/compressed instead of the raw images"),
    ("camera_reliable", "", "true: ask the camera for reliable transport (its writer must offer it)"),
    ("microphone", "audio_stamped", "topic of the user's voice (stamped sound of audio_common_msgs)"),
    ("microphone_info", "audio_info", "topic that describes the user's sound (AudioInfo)"),
    ("speech", "audio_stamped", "topic of the avatar's own speech; a relative name is in <namespace>/speech"),
    ("speech_info", "audio_info", "topic that describes the speech (AudioInfo)"),
    ("generator", "", "back end of the motion generator: embedded (the network in the box), reflex (rules), published (with avatar:=neural)"),
    ("weights", "", "of the network: a file of `avatar-forcing train`, or the folder of the published one (docs/weights.md)"),
    ("device", "", "where the network runs: auto, cpu, cuda"),
    ("precision", "", "of the network: auto, float32, bfloat16, float16"),
    ("avatar", "", "the face: portrait (an animated photo), screen_face (a drawn face) or neural"),
    ("portrait", "", "image file of a face"),
    ("theme", "", "theme of the screen face"),
    ("size", "", "side of the images in pixels"),
    ("presentation_delay", "", "seconds from a frame's time to its showing; 0: measured, as short as it can be"),
    ("commit_frames", "", "frames that a step of the generator commits; 0: as the back end has it"),
    ("params_file", PathJoinSubstitution([SHARE, "config", "avatar.yaml"]), "parameters of the nodes (YAML); arguments that are empty leave them as they are there"),
    ("use_sim_time", "false", "follow /clock, as when a bag is replayed"),
    ("fastdds_profile", "true", "use this package's Fast DDS profile, whose shared memory holds raw images"),
)  # fmt: skip


def _flag(text):
    if text.lower() not in ("true", "false"):
        raise ValueError(f"'{text}' is neither true nor false")
    return text.lower() == "true"


def _nodes(context):
    """The nodes, each with the parameters that were given as arguments on top of the file's."""
    value = {name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS}

    def given(kind, *names, **renamed):
        """{parameter: value} of the arguments that are not empty; renamed: parameter=argument."""
        arguments = {name: name for name in names} | renamed
        return {parameter: kind(value[name]) for parameter, name in arguments.items() if value[name]}

    def node(executable, name, namespace="", parameters=None, remappings=()):
        return Node(
            package=PACKAGE,
            executable=executable,
            name=name,
            namespace=namespace,
            parameters=[value["params_file"], *([parameters] if parameters else [])],
            remappings=list(remappings),
            output="screen",
            respawn=True,
            respawn_delay=2.0,
        )

    def text(found):
        return ParameterValue(found, value_type=str)  # also where it looks like a number

    network = given(text, "weights", "device", "precision")
    space = {"space": "lia512" if value["generator"] == "published" else "rig"} if value["generator"] else {}
    return [
        node(
            "audio_ingest", "microphone", "user",
            remappings=[("audio_stamped", value["microphone"]), ("audio_info", value["microphone_info"])],
        ),
        node(
            "audio_ingest", "speech", "speech",
            remappings=[("audio_stamped", value["speech"]), ("audio_info", value["speech_info"])],
        ),
        node(
            "face_ingest", "face", "user",
            {**given(_flag, compressed="camera_compressed", reliable="camera_reliable"), **space, **network},
            remappings=[
                ("camera/image_raw", value["camera"]),
                ("camera/image_raw/compressed", value["camera"] + "/compressed"),
            ],
        ),
        node(
            "motion_generator", "motion_generator",
            parameters={**given(text, "generator", "portrait"), **given(int, "commit_frames"), **network},
        ),
        node(
            "renderer", "renderer",
            parameters={
                **given(text, "avatar", "portrait", "theme"), **given(int, "size"), **network,
                **given(float, "presentation_delay"),
            },
        ),
    ]  # fmt: skip


def generate_launch_description() -> LaunchDescription:
    value = {name: LaunchConfiguration(name) for name, _, _ in ARGUMENTS}
    return LaunchDescription(
        [
            *(DeclareLaunchArgument(name, default_value=default, description=text) for name, default, text in ARGUMENTS),
            SetEnvironmentVariable(
                "FASTDDS_DEFAULT_PROFILES_FILE",
                PathJoinSubstitution([SHARE, "config", "fastdds.xml"]),
                condition=IfCondition(value["fastdds_profile"]),
            ),
            GroupAction(
                [
                    PushRosNamespace(value["namespace"]),
                    SetParameter("use_sim_time", ParameterValue(value["use_sim_time"], value_type=bool)),
                    OpaqueFunction(function=_nodes),
                ]
            ),
        ]
    )
