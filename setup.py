"""Plain Python install: `pip install .` gives the library and the `avatar-forcing` command, without colcon.

On a ROS machine colcon builds the same tree through CMakeLists.txt, with the messages and the nodes.
"""

import glob
import pathlib
import re

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = pathlib.Path(__file__).parent


def requirements(path: pathlib.Path) -> list[str]:
    lines = (line.split(" #")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


class BuildWithPage(build_py):
    """Says so where the kiosk's page is not in what is built."""

    def run(self) -> None:
        if not (ROOT / "avatar_forcing_ros/web/dist/page.js").is_file():
            self.warn(
                "the kiosk's page is not built and will be missing: run python -m avatar_forcing_ros.web.page_bundle first"
            )
        super().run()


version = re.search(r'__version__ = "(.+)"', (ROOT / "avatar_forcing_ros/__init__.py").read_text()).group(1)

setup(
    name="avatar_forcing_ros",
    version=version,
    description="The face of a social robot that listens while you speak, live",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    cmdclass={"build_py": BuildWithPage},
    packages=find_packages(include=["avatar_forcing_ros", "avatar_forcing_ros.*"]),
    include_package_data=True,
    package_data={
        "avatar_forcing_ros": [
            "py.typed",
            "assets/*",
            "assets/*/*",
            "web/dist/*",
            "web/dist/*/*",
            "web/page/*",
            "web/page/.npmrc",
            "web/page/licences/*",
            "web/page/src/*",
            "web/page/src/*/*",
        ]
    },  # fmt: skip
    data_files=[
        ("share/avatar_forcing_ros/config", glob.glob("config/*.*")),
        ("share/avatar_forcing_ros/config/learning", glob.glob("config/learning/*")),
        ("share/avatar_forcing_ros/launch", glob.glob("launch/*")),
    ],
    python_requires=">=3.10,<3.15",
    install_requires=requirements(ROOT / "requirements.txt"),
    extras_require={path.stem: requirements(path) for path in sorted((ROOT / "requirements").glob("*.txt"))},
    entry_points={"console_scripts": ["avatar-forcing = avatar_forcing_ros.cli:main"]},
)
