"""The face as the avatar of a voice agent: LiveKit Agents and Pipecat. Without ROS, in the agent's own process."""
