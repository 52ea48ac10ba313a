"""The page's clock, motion buffer and player, run by Node with a clock of the test's own."""

import base64

import numpy as np
import pytest
from page_files import run_module

from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.web.wire import MotionPacket, pack_motion, unpack_motion

CLOCK = "let now = 0; Object.defineProperty(globalThis, 'performance', { value: { now: () => now, timeOrigin: 0 } });"
PLAYER = """
globalThis.sampleRate = 48000; globalThis.currentFrame = 0;
globalThis.AudioWorkletProcessor = class { port = { postMessage() {}, onmessage: null }; };
globalThis.registerProcessor = (name, kind) => { globalThis.Player = kind; };
"""


@pytest.fixture
def node(request):
    return lambda *arguments: run_module(request.config.cache, *arguments)


def test_packets_are_the_servers(node):
    latents = np.random.default_rng(1).uniform(rig.LOW, rig.HIGH, (3, rig.DIM)).astype(np.float32)
    data = base64.b64encode(pack_motion(MotionPacket(7, 1234.5, latents, 2))).decode()
    read, written = node(
        "live/motion.ts",
        f"""const data = Uint8Array.from(Buffer.from('{data}', 'base64')).buffer, packet = page.readPacket(data);
        const back = page.writePacket({{ flags: 2, frame: 7, time: 1234.5, latents: packet.latents }});
        console.log(JSON.stringify([{{ ...packet, latents: packet.latents.map((l) => [...l]) }}, Buffer.from(back).toString('base64')]));""",
    )
    assert (read["frame"], read["time"], read["flags"]) == (7, 1234.5, 2)
    np.testing.assert_array_equal(read["latents"], latents.astype(np.float16).astype(np.float32))
    again = unpack_motion(base64.b64decode(written), rig.DIM)
    np.testing.assert_array_equal(again.latents, latents.astype(np.float16).astype(np.float32))


def test_numbers_of_every_size_survive_float16(node):
    values = [0.0, -0.0, 1e-8, 6e-8, 3e-5, -6.1e-5, 0.1, 1.0, 1.9995, 2047.9, -65504.0, 1e6, 1023.96]
    got = node("live/motion.ts", f"console.log(JSON.stringify({values}.map((x) => page.toHalf(x))));")
    want = np.array([min(max(v, -65504), 65504) for v in values]).astype(np.float16).view(np.uint16)
    assert got == want.tolist()


def test_lost_packets_leave_no_jump_and_no_gap(node):
    """15 % of the packets are lost and the others come in any order: what is shown stays near the motion that was sent."""
    worst, jump, lost = node(
        "live/motion.ts",
        """let seed = 3; const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
        const truth = (t) => 0.5 + 0.4 * Math.sin(6 * t), buffer = new page.MotionBuffer(), out = new Float32Array(32);
        const queue = [];
        for (let f = 0; f < 1000; f += 2) if (random() > 0.15) queue.push({ at: f / 25 - 0.06 + 0.05 * random(), packet: {
          flags: 0, frame: f + 1, time: (f + 1) / 25, latents: [1, 0, -1, -2].map((k) => new Float32Array(32).fill(truth((f + k) / 25))) } });
        queue.sort((a, b) => a.at - b.at);
        let worst = 0, jump = 0, last;
        for (let t = 0.5; t < 39; t += 1 / 60) {
          while (queue.length && queue[0].at <= t) buffer.add(queue.shift().packet, t);
          buffer.sample(t, out);
          worst = Math.max(worst, Math.abs(out[5] - truth(t)));
          if (last !== undefined) jump = Math.max(jump, Math.abs(out[5] - last));
          last = out[5];
        }
        console.log(JSON.stringify([worst, jump, buffer.lost]));""",
    )
    # The motion's own steps are 0.04 a picture. Two packets lost in a row leave 0.16 s without news, and then it glides.
    assert worst < 0.45 and jump < 0.15
    assert lost < 60  # of 1000: each frame was in two packets


def test_without_motion_the_face_holds_and_goes_to_rest(node):
    values = node(
        "live/motion.ts",
        """const buffer = new page.MotionBuffer(), out = new Float32Array(32);
        buffer.add({ flags: 0, frame: 10, time: 0.4, latents: [new Float32Array(32).fill(1)] }, 0);
        console.log(JSON.stringify([0.4, 0.9, 1.5, 3].map((t) => (buffer.sample(t, out), out[3]))));""",
    )
    assert values[0] == values[1] == 1.0 and 0.0 < values[2] < 1.0 and values[3] == 0.0


def test_the_quickest_ping_tells_the_clock_and_a_new_server_is_believed(node):
    offsets = node(
        "live/clock.ts",
        """const clock = new page.ServerClock(), out = [];
        for (let k = 0; k < 20; k++) { now = 1000 * k; const up = k === 7 ? 0.001 : 0.03 + 0.01 * (k % 3), down = 0.001;
          clock.add(k, k + up + 5, k + up + down); }
        out.push(clock.offset);
        now = 21000; clock.add(21, 21 + 0.01 - 300, 21.02); out.push(clock.offset);
        clock.add(22, NaN, 22.01); clock.add(22, 5, 21); out.push(clock.offset);
        console.log(JSON.stringify(out));""",
        CLOCK,
    )
    assert offsets == pytest.approx([5.0, -300.0, -300.0], abs=1e-6)


def test_the_delay_is_what_arrivals_need_and_creeps_while_one_speaks(node):
    first, fastest, end, quiet = node(
        "live/clock.ts",
        """const delay = new page.Delay(); let first, fastest = 0, last;
        const step = (late, speaking) => { now += 20; delay.arrived(late); return delay.step(speaking); };
        for (let k = 0; k < 50; k++) first = step(0.02 + 0.001 * (k % 5), true);
        for (let k = 0; k < 500; k++) { const v = step(0.08, true); if (last !== undefined) fastest = Math.max(fastest, Math.abs(v - last) / 0.02); last = v; }
        const end = last; for (let k = 0; k < 50; k++) last = step(0.08, false);
        console.log(JSON.stringify([first, fastest, end, last]));""",
        CLOCK,
    )
    assert first == pytest.approx(0.03, abs=0.003)  # 24 ms and a margin of 6
    assert fastest <= 0.0041  # s per s, while one speaks
    assert first < end < 0.08
    assert quiet == pytest.approx(0.086, abs=0.003)


def player(node, ppm: float, lost: tuple[int, ...] = ()) -> tuple[float, float, float]:
    """A tone through the player while the clock drifts: (largest step between two samples, how far off in ms at the end, level)."""
    return node(
        "live/worklet.ts",
        f"""const player = new Player(), lost = {list(lost)}, rate = 48000, tone = (n) => 0.5 * Math.sin(2 * Math.PI * 440 * n / rate);
        const take = (m) => player.port.onmessage({{ data: m }}), start = 1000, drift = 1 + {ppm} * 1e-6;
        let sent = 0, last = 0, step = 0, level = 0, count = 0;
        const due = () => start + 0.2 + (currentFrame / rate) * drift;
        take({{ type: 'clock', context: 0, presentation: due() }});
        for (let block = 0; block < 20 * 375; block++) {{
          while (start + sent * 0.02 < due() + 0.1) {{
            const samples = Float32Array.from({{ length: 960 }}, (_, i) => tone(sent * 960 + i));
            if (!lost.includes(sent)) take({{ type: 'sound', time: start + sent * 0.02 + 1e-5 * (sent % 3), samples, follows: sent > 0 && !lost.includes(sent - 1) }});
            sent++;
          }}
          if (block % 19 === 0) take({{ type: 'clock', context: currentFrame / rate, presentation: due() }});
          const out = [new Float32Array(128), new Float32Array(128)];
          player.process([], [out]);
          for (const x of out[0]) {{ if (block > 400) {{ step = Math.max(step, Math.abs(x - last)); level += x * x; count++; }} last = x; }}
          currentFrame += 128;
        }}
        console.log(JSON.stringify([step, 1000 * (due() - (player.base + player.position / rate)), Math.sqrt(level / count)]));""",
        PLAYER,
    )


TONE_STEP = 0.5 * 2 * np.pi * 440 / 48000  # the largest step of the tone itself


@pytest.mark.parametrize("ppm", [0, 300, -300])
def test_a_drifting_clock_is_followed_without_a_click(node, ppm):
    step, off_ms, level = player(node, ppm)
    assert step < 1.1 * TONE_STEP
    assert abs(off_ms) < 2.0
    assert level == pytest.approx(0.5 / np.sqrt(2), rel=0.03)


def test_a_lost_packet_fades_instead_of_clicking(node):
    step, off_ms, level = player(node, 0, lost=(300, 301, 500))
    assert step < 3 * TONE_STEP  # a tone of 0.5 cut off would step by up to 0.5
    assert level > 0.33


def test_captions_come_with_the_sound_and_go_with_it(node):
    shown = node(
        "ui.ts",
        """const captions = new page.Captions(), out = [], at = (t) => { captions.show(t); out.push(text); };
        captions.add('one', 10, 9); at(9.9); at(10);
        captions.add('two', 12, 9); at(11.9); at(12);
        captions.add('', 12.5, 1.3);  // the sound has ended at 13: it stays until 13.8
        captions.add('three', 12.8, 9); at(12.7); at(12.8);
        captions.add('', 14, 1.3); at(15.2); at(15.4);
        captions.add('four', 20, 4); at(23.9); at(24.1);  // nothing ends it
        captions.on = false; captions.add('five', 30, 4); at(31);
        console.log(JSON.stringify(out));""",
        """let text = ''; const element = { append(...c) { this.text = c.join(''); }, replaceChildren(...c) { text = c.map((x) => x.text).join(''); } };
        globalThis.document = { getElementById: () => element, createElement: () => ({ ...element }) };""",
    )
    assert shown == ["", "one", "one", "two", "two", "three", "three", "", "four", "", ""]


def test_the_page_draws_smaller_then_asks_for_video_and_comes_back(node):
    seen, rates = node(
        "live/quality.ts",
        """const quality = new page.Quality(), place = { width: 1080, height: 1920 }, seen = [];
        const play = (fps, seconds, video) => { for (const end = now + 1000 * seconds; now < end; now += 1000 / fps) {
          if (video && !quality.trial(now)) continue;
          const change = quality.drawn(now, place);
          if (change) seen.push([change, Math.min(...quality.size(place))]);
          if (change === 'video' || change === 'draw') return true;
        } return false; };
        play(60, 10); seen.push('fast'); play(8, 60); seen.push('slow');
        const kept = play(8, 100, true); seen.push(kept); const back = play(40, 200, true); seen.push(back);
        quality.software = true; let drawn = 0, last = now;
        for (const end = now + 3000; now < end; now += 1000 / 60) if (quality.due(now)) { quality.drawn(now, place); drawn++; }
        console.log(JSON.stringify([seen, drawn / 3]));""",
        CLOCK
        + "globalThis.devicePixelRatio = 1; globalThis.document = { hidden: false }; globalThis.innerWidth = 1080;",
    )
    assert seen[0] == "fast" and seen.index("slow") > 3
    sizes = [size for change, size in seen[1 : seen.index("slow")] if change == "smaller"]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] == 256  # first it draws fewer pixels
    assert seen[seen.index("slow") - 1][0] == "video"
    assert seen[-3:] == [False, ["draw", 256], True]  # too slow at the first trial; then it can
    assert rates == pytest.approx(30, abs=2)  # of 60 turns, where the processor draws
