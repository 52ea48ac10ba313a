# On an apt ROS: docker build -f containers/apt_ros.Dockerfile --build-arg ROS_DISTRO=jazzy -t avatar_forcing_ros .
ARG ROS_DISTRO=jazzy
FROM ros:${ROS_DISTRO}-ros-base
SHELL ["/bin/bash", "-c"]
WORKDIR /ws
COPY . src/avatar_forcing_ros
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-pip python3-venv libgl1 libglib2.0-0 \
    && rosdep update --rosdistro "$ROS_DISTRO" \
    && rosdep install --from-paths src --ignore-src -y \
    && python3 -m venv --system-site-packages /opt/venv && touch /opt/venv/COLCON_IGNORE \
    && /opt/venv/bin/pip install --no-cache-dir -r src/avatar_forcing_ros/requirements.txt \
    && rm -rf /var/lib/apt/lists/*
RUN source "/opt/ros/$ROS_DISTRO/setup.bash" && source /opt/venv/bin/activate \
    && colcon build --packages-select avatar_forcing_ros
ENTRYPOINT ["/bin/bash", "-c", "source /opt/ros/$ROS_DISTRO/setup.bash && source /opt/venv/bin/activate && source install/setup.bash && exec \"$0\" \"$@\""]
CMD ["ros2", "launch", "avatar_forcing_ros", "robot_head.launch.py"]
