"""Draws the pictures of the kiosk's page in docs/images: a running kiosk, and headless Chromium as its visitor and its operator.

python tools/make_page_pictures.py [--out docs/images]

The camera shows the sample conversation; what the face says is said by the speaker node, with its captions.
"""

from __future__ import annotations

import argparse
import io
import socket
import tempfile
import threading
import time
from pathlib import Path

from PIL import Image

from avatar_forcing_ros.assets import SAMPLE_USER_VIDEO
from avatar_forcing_ros.ros.speak_client import SpeakClient
from avatar_forcing_ros.run.graph import NAMESPACE
from avatar_forcing_ros.run.kiosk import KioskPlan, run_kiosk
from avatar_forcing_ros.web.chromium import Chromium, Page, fake_camera
from avatar_forcing_ros.web.measure.fake_media import write_camera, write_microphone

TEXT = "Good morning. I am glad that you are here. What may I show you today?"
SLOWLY = (
    "I am glad that you are here, and I have time for all of your questions, and for those of your friends as well."
)
# Software that draws for a picture may be slow: the page is kept from making its drawing smaller.
KEEP_SIZE = "Object.defineProperty(document, 'hidden', { get: () => true });"
PATIENCE_S = 60.0
FILM_S, FILM_SIZE, FILM_RATE = 6.0, (480, 400), 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--voice", default="auto")
    parser.add_argument("--only", default="page,portrait,film", help="which of these, separated by commas")
    arguments = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    plan = KioskPlan(server={"port": port}, voice=arguments.voice)
    with tempfile.TemporaryDirectory() as folder:
        video, sound = Path(folder) / "camera.y4m", Path(folder) / "microphone.wav"
        write_camera(str(SAMPLE_USER_VIDEO), video)
        write_microphone(str(SAMPLE_USER_VIDEO), sound)

        def ready(_) -> bool:
            with (
                SpeakClient(f"/{NAMESPACE}") as speaker,
                Chromium(fake_camera(video, sound), size=(1280, 900)) as browser,
            ):
                speaker.wait(PATIENCE_S)
                Pictures(browser, speaker, f"http://localhost:{port}", arguments.out).make(arguments.only.split(","))
            return True

        run_kiosk(plan, "", ready)


class Pictures:
    def __init__(self, browser: Chromium, speaker: SpeakClient, address: str, out: Path) -> None:
        self.browser, self.speaker, self.address, self.out = browser, speaker, address, out

    def make(self, only: list[str]) -> None:
        visitor = self.open("/", (800, 600))
        start = _image(visitor)
        self.begin(visitor)
        if "page" in only:
            self.page(visitor, start)
        if "portrait" in only:
            self.portrait(visitor)
        if "film" in only:
            self.film(visitor)
        visitor.close()

    def page(self, visitor: Page, start: Image.Image) -> None:
        """The start card, the face with a caption, the panel, and the operator's page."""
        talking = self.heard(visitor, TEXT, "includes('glad')")
        captioned = _image(visitor)
        talking.join()
        self.dark(visitor, True)
        visitor.evaluate("dispatchEvent(new KeyboardEvent('keydown', { key: 'p' }))")
        time.sleep(1.0)
        panel = _image(visitor)
        visitor.evaluate("dispatchEvent(new KeyboardEvent('keydown', { key: 'p' }))")
        self.dark(visitor, False)
        operator = self.open("/operator", (800, 600))
        self.begin(operator)
        self.wait(operator, "document.querySelector('#operator video').videoWidth > 0")
        operator.evaluate("document.querySelector('#operator button').click()")
        self.wait(operator, "document.getElementById('signs').innerText.includes('a person is live')")
        time.sleep(2.0)
        shown = _image(operator)
        operator.close()
        _grid([[start, captioned], [panel, shown]]).save(self.out / "kiosk_page.jpg", quality=86)

    def portrait(self, visitor: Page) -> None:
        """A screen that stands on its side."""
        visitor.resize(1080, 1920)
        talking = self.heard(visitor, SLOWLY, "includes('glad')")
        _image(visitor).resize((540, 960), Image.LANCZOS).save(self.out / "kiosk_portrait.jpg", quality=86)
        talking.join()

    def film(self, page: Page) -> None:
        """The page while the face listens and speaks, as an animated WebP with the times at which its pictures were taken."""
        page.resize(*FILM_SIZE)
        self.wait(page, "document.getElementById('captions').innerText === ''")
        talking = self.heard(page, TEXT, "length > 0")
        shot = page.film(FILM_S)
        talking.join()
        shot = [shot[0], *(b for a, b in zip(shot, shot[1:]) if b[0] > a[0])]
        kept = [shot[0]]
        for one in shot[1:]:
            if one[0] - kept[-1][0] >= 0.9 / FILM_RATE:
                kept.append(one)
        images = [Image.open(io.BytesIO(data)).convert("RGB") for _, data in kept]
        steps = [round(1000 * (b - a)) for (a, _), (b, _) in zip(kept, kept[1:])] + [round(1000 / FILM_RATE)]
        images[0].save(
            self.out / "kiosk.webp", save_all=True, append_images=images[1:], duration=steps, loop=0, quality=70, method=6
        )  # fmt: skip
        print(f"film: {len(images)} pictures")

    def heard(self, page: Page, text: str, told: str) -> threading.Thread:
        """Speaks until the page's caption says so: the visitor of the fake microphone talks too, and may interrupt."""
        deadline = time.monotonic() + PATIENCE_S
        talking: threading.Thread | None = None
        while not page.evaluate(f"document.getElementById('captions').innerText.{told}"):
            if time.monotonic() > deadline:
                raise SystemExit(f"waited in vain for a caption; the page says {page.console[-3:]}")
            if talking is None or not talking.is_alive():
                talking = threading.Thread(target=self.speaker.speak, args=(text, "", "", "", True))
                talking.start()
            time.sleep(0.1)
        assert talking is not None, "a caption that nobody said"
        return talking

    def open(self, path: str, size: tuple[int, int]) -> Page:
        page = self.browser.open("about:blank")
        page.call("Page.addScriptToEvaluateOnNewDocument", {"source": KEEP_SIZE})
        page.resize(*size)
        self.dark(page, False)
        page.go(self.address + path)
        self.wait(page, "document.getElementById('begin') !== null")
        time.sleep(1.0)  # the face is loaded behind the card
        return page

    def begin(self, page: Page) -> None:
        page.evaluate("avatarKiosk.start()")
        self.wait(page, "avatarKiosk.stats().connected")
        self.wait(page, "document.getElementById('notice').hidden")
        time.sleep(2.0)

    @staticmethod
    def dark(page: Page, on: bool) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        page.call("Emulation.setEmulatedMedia", {"features": [scheme]})

    @staticmethod
    def wait(page: Page, expression: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not page.evaluate(f"(() => {{ try {{ return {expression}; }} catch {{ return false; }} }})()"):
            if time.monotonic() > deadline:
                raise SystemExit(f"waited in vain for {expression}; the page says {page.console[-3:]}")
            time.sleep(0.1)


def _image(page: Page) -> Image.Image:
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def _grid(rows: list[list[Image.Image]], gap: int = 12) -> Image.Image:
    width, height = rows[0][0].size
    sheet = Image.new("RGB", (len(rows[0]) * (width + gap) - gap, len(rows) * (height + gap) - gap), (255, 255, 255))
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            sheet.paste(image, (x * (width + gap), y * (height + gap)))
    return sheet


if __name__ == "__main__":
    main()
