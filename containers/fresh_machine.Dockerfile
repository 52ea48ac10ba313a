# Without an apt ROS: ROS 2 from wheels. docker build -f containers/fresh_machine.Dockerfile -t avatar_forcing_ros .
# See it: docker run --rm -v "$PWD/out:/app/out" avatar_forcing_ros make demo
FROM debian:12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ make python3 python3-venv libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY . .
RUN make install
CMD ["make", "demo"]
