"""Plain Python install: `pip install .` gives the library and the `avatar-forcing` command, without colcon.

On a ROS machine colcon builds the same tree through CMakeLists.txt, with the messages and the nodes.
"""

import glob
import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
requirements = [
    line.split(" #")[0].strip()
    for line in (ROOT / "requirements.txt").read_text().splitlines()
    if line.strip() and not line.startswith("#")
]
version = re.search(r'__version__ = "(.+)"', (ROOT / "avatar_forcing_ros/__init__.py").read_text()).group(1)

setup(
    name="avatar_forcing_ros",
    version=version,
    description="The face of a social robot that listens while you speak, live",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["avatar_forcing_ros", "avatar_forcing_ros.*"]),
    include_package_data=True,
    package_data={"avatar_forcing_ros": ["assets/*", "assets/*/*"]},
    data_files=[
        ("share/avatar_forcing_ros/config", glob.glob("config/*.*")),
        ("share/avatar_forcing_ros/config/learning", glob.glob("config/learning/*")),
        ("share/avatar_forcing_ros/launch", glob.glob("launch/*")),
    ],
    python_requires=">=3.10,<3.13",
    install_requires=requirements,
    entry_points={"console_scripts": ["avatar-forcing = avatar_forcing_ros.cli:main"]},
)
