#!/usr/bin/env python3
"""Makes avatar_forcing_ros/assets/back_channel.json: beginnings of sentences against hums and words that agree, from synthetic voices.

Prints how well it tells those of voices that a first fit was not made from, which sets the threshold, and then those of the voices
and sentences that are held out. Wants espeak-ng, flite and PyTorch.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soxr
import torch

from avatar_forcing_ros.timeline import SAMPLE_RATE
from avatar_forcing_ros.voice.listening import made
from avatar_forcing_ros.voice.listening.back_channel import FEATURES, HOP, LEAST_S, MOST_S, WINDOW, features

OUT = Path(__file__).resolve().parents[2] / "avatar_forcing_ros" / "assets" / "back_channel.json"
HIDDEN, COPIES, EPOCHS, SEED = 32, 6, 20, 1
TOLD = 0.965  # of the sentences of voices not seen that are to be told by 260 ms: that sets the threshold
EVEN = 0.97  # of the back-channels that lie below a step's own offset, so that no step is rasher than another
AFTER_S = 0.06  # for so long a voice that has ended is still one
ALIKE_S = 0.55  # after which a sentence that begins as a back-channel does is one
STEPS = round((MOST_S * SAMPLE_RATE - WINDOW) / HOP) + 1
FIRST = round((LEAST_S * SAMPLE_RATE - WINDOW) / HOP)  # step at which it is asked first
ASKED = round((0.26 * SAMPLE_RATE - WINDOW) / HOP)  # and by which it should have told


def sounds(voices: list[str], sentences: list[str], alike: list[str]) -> list[tuple[np.ndarray, float, bool, bool]]:
    """(samples, 1 for a turn, whether it begins as a back-channel does, whether it is a hum). A voice says every second sentence, and
    all the rest."""
    found = []
    for i, voice in enumerate(filter(made.there, voices)):
        texts = [(t, 1.0, False, False) for t in sentences[i % 2 :: 2]] + [(t, 1.0, True, False) for t in alike]
        texts += [(t, 0.0, False, t in made.HUMS) for t in made.HUMS + made.WORDS]
        found += [(made.said(voice, t), *what) for t, *what in texts]
    return [(s[:SAMPLE_RATE], *what) for s, *what in found if s is not None]


def examples(found: list, seed: int, copies: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Inputs (n, steps, features), labels (n,), weights (n, steps): what is left of an echo, noise, other voices and rooms are in them."""
    random = np.random.default_rng(seed)
    count = round(MOST_S * SAMPLE_RATE)
    inputs, labels, weights = [], [], []
    for sound, label, alike, _ in found:
        for _ in range(copies):
            one = soxr.resample(
                sound, SAMPLE_RATE, SAMPLE_RATE * random.uniform(0.86, 1.16)
            )  # higher and faster, or lower and slower
            tilt = random.uniform(-0.35, 0.35)
            one = one + tilt * np.concatenate([[0.0], one[:-1]])
            late = int(random.integers(-480, 800))  # samples: how well the onset is found
            one = one[-late:] if late < 0 else np.concatenate([np.zeros(late, np.float32), one])
            piece = np.concatenate([one, np.zeros(count)])[:count]
            piece = piece * (made.LEVEL / np.sqrt(np.mean(one**2)))
            other = found[int(random.integers(len(found)))][0]
            other = np.roll(np.resize(other, count), int(random.integers(count)))
            piece = piece + other * 10 ** (random.uniform(-40, -20) / 20)
            piece = piece + random.normal(size=count) * 10 ** random.uniform(-3.6, -2.6)
            inputs.append(features(piece))
            labels.append(label)
            weight = np.zeros(STEPS)
            weight[FIRST:] = 0.4
            weight[ASKED - 3 : ASKED + 1] = 1.0
            if not label:  # nobody asks once a word has ended
                weight[round((len(one) / SAMPLE_RATE + AFTER_S) * SAMPLE_RATE / HOP) :] = 0.0
            if alike:
                weight[: round((ALIKE_S * SAMPLE_RATE - WINDOW) / HOP)] = 0.0
            weights.append(weight)
    return tuple(torch.tensor(np.array(x), dtype=torch.float32) for x in (inputs, labels, weights))


class Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru, self.out = torch.nn.GRU(FEATURES, HIDDEN, batch_first=True), torch.nn.Linear(HIDDEN, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.nn.functional.dropout(self.gru(x)[0], 0.2, self.training))[..., 0]


def fit(found: list) -> Network:
    torch.manual_seed(SEED)
    network = Network()
    optimizer = torch.optim.AdamW(network.parameters(), 4e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for epoch in range(EPOCHS):
        if epoch % 5 == 0:  # other noise, other places
            inputs, labels, weights = examples(found, SEED + epoch, COPIES)
            balance = torch.where(labels > 0, 0.5 / labels.mean(), 0.5 / (1 - labels.mean()))[:, None]
        network.train()
        for batch in torch.randperm(len(inputs)).split(128):
            told = network(inputs[batch])
            error = torch.nn.functional.binary_cross_entropy_with_logits(
                told, labels[batch, None].expand_as(told), reduction="none"
            )
            loss = (error * weights[batch] * balance[batch]).sum() / weights[batch].sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    return network.eval()


@torch.no_grad()
def judged(network: Network, found: list, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(scores (n, steps), -inf where nobody asks; labels (n,); whether each is a hum (n,))."""
    inputs, labels, weights = examples(found, seed, 2)
    scores = np.where(weights.numpy() > 0, network(inputs).numpy(), -np.inf)
    return scores, labels.numpy(), np.repeat([hum for *_, hum in found], 2)


def told(scores: np.ndarray, offsets: np.ndarray, until: int = STEPS) -> np.ndarray:
    """The highest score over a step's offset (n,)."""
    return (scores - offsets)[:, FIRST : until + 1].max(axis=1)


def line(scores: np.ndarray, labels: np.ndarray, hums: np.ndarray, offsets: np.ndarray, threshold: float) -> str:
    lies = labels == 0
    return (
        f"turns told by 260 ms {np.mean(told(scores, offsets, ASKED)[~lies] > threshold):.3f}, taken for turns: "
        f"hums {np.mean(told(scores, offsets)[hums] > threshold):.3f}, words {np.mean(told(scores, offsets)[lies & ~hums] > threshold):.3f}"
    )


def main() -> None:
    torch.set_num_threads(1)
    folds = []
    for fold in range(2):
        held = made.VOICES[fold::2]
        seen = [v for v in made.VOICES if v not in held]
        network = fit(sounds(seen, made.TRAINING_SENTENCES[::2], made.BEGIN_ALIKE[::2]))
        folds.append(judged(network, sounds(held, made.TRAINING_SENTENCES[1::2], []), 50))
    scores, labels, hums = (np.concatenate(x) for x in zip(*folds))
    offsets = np.zeros(STEPS)
    for step in range(FIRST, STEPS):
        asked = scores[(labels == 0) & np.isfinite(scores[:, step]), step]
        offsets[step] = np.quantile(asked, EVEN) if len(asked) > 50 else offsets[step - 1]
    threshold = float(np.quantile(told(scores, offsets, ASKED)[labels == 1], 1 - TOLD))
    print("voices not seen:", line(scores, labels, hums, offsets, threshold), flush=True)
    network = fit(sounds(made.VOICES, made.TRAINING_SENTENCES, made.BEGIN_ALIKE))
    found = judged(network, sounds(made.HELD_OUT_VOICES, made.SENTENCES, []), 60)
    print("held out:", line(*found, offsets, threshold))
    gru = network.gru
    numbers = {
        "input": gru.weight_ih_l0, "input_bias": gru.bias_ih_l0, "hidden": gru.weight_hh_l0, "hidden_bias": gru.bias_hh_l0,
        "out": network.out.weight[0], "bias": network.out.bias[0] - threshold, "offsets": torch.tensor(offsets),
    }  # fmt: skip
    OUT.write_text(
        json.dumps({k: np.round(v.detach().numpy().astype(float), 4).tolist() for k, v in numbers.items()}) + "\n"
    )
    print(f"written: {OUT}")


if __name__ == "__main__":
    main()
