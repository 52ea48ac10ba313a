"""The avatar itself: sound and face ingest, motion generator, renderer. The other launch files include this one."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, PythonExpression
from launch_ros.actions import Node, PushRosNamespace, SetParameter
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

PACKAGE = "avatar_forcing_ros"
SHARE = FindPackageShare(PACKAGE)

ARGUMENTS = (
    ("namespace", "avatar", "namespace of all nodes and topics of this avatar; several may share one domain"),
    ("camera", "camera/image_raw", "topic of the user's camera (sensor_msgs/Image); a relative name is in <namespace>/user"),
    ("camera_compressed", "false", "read <camera>/compressed instead of the raw images"),
    ("camera_reliable", "false", "ask the camera for reliable transport (its writer must offer it)"),
    ("microphone", "audio_stamped", "topic of the user's voice (stamped sound of audio_common_msgs)"),
    ("microphone_info", "audio_info", "topic that describes the user's sound (AudioInfo)"),
    ("speech", "audio_stamped", "topic of the avatar's own speech; a relative name is in <namespace>/speech"),
    ("speech_info", "audio_info", "topic that describes the speech (AudioInfo)"),
    ("generator", "embedded", "back end of the motion generator: embedded (the network in the box), reflex (rules), published (with avatar:=neural)"),
    ("weights", "", "of the network: a file of `avatar-forcing train`, or the folder of the published one (docs/weights.md); empty: in the box"),
    ("device", "auto", "where the network runs: auto, cpu, cuda"),
    ("precision", "auto", "of the network: auto, float32, bfloat16, float16"),
    ("avatar", "portrait", "the face: portrait (an animated photo), screen_face (a drawn face) or neural"),
    ("portrait", "", "image file of a face; empty: the one in the box"),
    ("theme", "", "theme of the screen face"),
    ("size", "512", "side of the images in pixels"),
    ("presentation_delay", "0.0", "seconds from a frame's time to its showing; 0: measured, as short as it can be"),
    ("commit_frames", "0", "frames that a step of the generator commits; 0: as the back end has it"),
    ("params_file", PathJoinSubstitution([SHARE, "config", "avatar.yaml"]), "parameters of the nodes (YAML)"),
    ("use_sim_time", "false", "follow /clock, as when a bag is replayed"),
    ("fastdds_profile", "true", "use this package's Fast DDS profile, whose shared memory holds raw images"),
)


def generate_launch_description() -> LaunchDescription:
    value = {name: LaunchConfiguration(name) for name, _, _ in ARGUMENTS}

    def node(executable, name, namespace="", parameters=(), remappings=()):
        return Node(
            package=PACKAGE,
            executable=executable,
            name=name,
            namespace=namespace,
            parameters=[value["params_file"], *parameters],
            remappings=list(remappings),
            output="screen",
            respawn=True,
            respawn_delay=2.0,
        )

    def text(name):
        return ParameterValue(value[name], value_type=str)

    network = {name: text(name) for name in ("weights", "device", "precision")}
    nodes = [
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
            parameters=[{
                "compressed": ParameterValue(value["camera_compressed"], value_type=bool),
                "reliable": ParameterValue(value["camera_reliable"], value_type=bool),
                "space": PythonExpression(["'lia512' if '", value["generator"], "' == 'published' else 'rig'"]),
                **network,
            }],
            remappings=[
                ("camera/image_raw", value["camera"]),
                ("camera/image_raw/compressed", [value["camera"], "/compressed"]),
            ],
        ),
        node("motion_generator", "motion_generator", parameters=[{
            "generator": text("generator"), "portrait": text("portrait"),
            "commit_frames": ParameterValue(value["commit_frames"], value_type=int), **network,
        }]),
        node(
            "renderer", "renderer",
            parameters=[{
                "avatar": text("avatar"),
                "portrait": text("portrait"),
                "theme": text("theme"),
                "size": ParameterValue(value["size"], value_type=int),
                **network,
                "presentation_delay": ParameterValue(value["presentation_delay"], value_type=float),
            }],
        ),
    ]  # fmt: skip
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
                    *nodes,
                ]
            ),
        ]
    )
