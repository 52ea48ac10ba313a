"""Weight files as the authors' and others' tools write them: read, refused, converted."""

import math
import pickle

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'avatar_forcing_ros[train]'")

from safetensors.torch import save_file

from avatar_forcing_ros.cli import main
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.models import (
    AvatarForcing,
    ModelConfig,
    check_weights,
    convert_weights,
    load_autoencoder,
    load_model,
    save_model,
)
from avatar_forcing_ros.models.checkpoints import sources, unused

TINY = ModelConfig(image_size=16, audio_width=64, audio_layers=1, width=32, depth=1, heads=2)
GONE = "flow_transformer.final_layer.linear.bias"


@pytest.fixture(scope="module")
def published():
    """Tensors of a tiny network of the published kind, under published names."""
    with torch.device("meta"):
        model = AvatarForcing(TINY)
    shapes = {name: shape for source in sources(model).values() for name, shape in source.shapes.items()}
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(shape, generator=generator) for name, shape in {**shapes, **unused(model)}.items()}


def part(published, prefix, strip=""):
    return {name.removeprefix(strip): tensor for name, tensor in published.items() if name.startswith(prefix)}


@pytest.fixture(scope="module")
def folder(published, tmp_path_factory):
    """Three files, each with other habits: wrapped names, buffers, the newer names of the weight norm, a head."""
    folder = tmp_path_factory.mktemp("weights")
    flow = {**part(published, "flow_transformer."), **part(published, "audio_encoder.audio_projection")}
    torch.save(
        {"state_dict": {f"module.{name}": tensor for name, tensor in flow.items()}, "step": 3},
        folder / "flow_transformer.pth",
    )
    auto = part(published, "motion_autoencoder.", strip="motion_autoencoder.")
    torch.save({**auto, "dec.convs.0.conv.blur.kernel": torch.ones(4, 4)}, folder / "motion_autoencoder.pth")
    (folder / "wav2vec2-base-960h").mkdir()
    trunk = part(published, "audio_encoder.wav2vec2.", strip="audio_encoder.")
    newer = {
        name.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        ): t
        for name, t in trunk.items()
    }
    save_file({**newer, "lm_head.bias": torch.zeros(32)}, folder / "wav2vec2-base-960h" / "model.safetensors")
    return folder


def test_check_lists_what_fits(folder, published):
    lines = []
    report = check_weights(folder, lines.append, TINY)
    assert report.error == ""
    assert len(report.fit.fitting) + len(report.fit.unused) == len(published)
    assert not report.fit.missing and not report.fit.left_over
    assert sorted(report.fit.harmless) == ["dec.convs.0.conv.blur.kernel", "lm_head.bias"]
    assert any("flow_transformer.pth" in line for line in lines) and "missing: 0" in lines


def test_convert_and_load_give_the_folded_weights(folder, published, tmp_path):
    file = convert_weights(folder, tmp_path / "ours.safetensors", TINY)
    model = load_model(file)
    assert model.config == TINY
    state = model.state_dict()
    linear = published["flow_transformer.final_layer.linear.weight"]
    assert torch.equal(state["transformer.final.weight"], linear)
    head = published["motion_autoencoder.enc.net_app.convs.3.weight"]
    assert torch.allclose(state["autoencoder.encoder.head"], head / math.sqrt(512 * 16))
    assert torch.allclose(state["autoencoder.basis"].T @ state["autoencoder.basis"], torch.eye(20), atol=1e-5)
    norm = "audio_encoder.wav2vec2.encoder.pos_conv_embed.conv.weight_"
    position = state["audio_encoder.trunk.encoder.pos_conv_embed.conv.weight"]
    assert torch.allclose(position.norm(dim=(0, 1)), published[norm + "g"].abs().flatten(), rtol=1e-4)
    reference = AvatarForcing(TINY)
    reference.load_published_state_dict(published)
    for name, tensor in reference.state_dict().items():
        assert torch.equal(tensor, state[name]), name


def test_the_autoencoder_alone_is_the_same_from_either_kind_of_file(folder, tmp_path):
    file = convert_weights(folder, tmp_path / "ours.safetensors", TINY)
    whole = load_model(file).autoencoder.state_dict()
    for part in (load_autoencoder(file), load_autoencoder(folder, TINY)):
        assert whole.keys() == part.state_dict().keys()
        assert all(torch.equal(tensor, whole[name]) for name, tensor in part.state_dict().items())
    no_faces = save_model(AvatarForcing(ModelConfig.embedded(width=32, depth=1, heads=2)), tmp_path / "rig.safetensors")
    with pytest.raises(InputError, match="without an auto-encoder"):
        load_autoencoder(no_faces)


def test_a_folder_with_our_file_is_loaded(folder, tmp_path):
    save_model(
        AvatarForcing(ModelConfig.embedded(width=32, depth=1, heads=2)), tmp_path / "small.safetensors", torch.float16
    )
    assert load_model(tmp_path).config.width == 32


def test_a_missing_tensor_is_refused_in_one_line(folder, published, tmp_path):
    for path in ("motion_autoencoder.pth", "wav2vec2-base-960h"):
        (tmp_path / path).symlink_to(folder / path)
    flow = {**part(published, "flow_transformer."), **part(published, "audio_encoder.audio_projection")}
    del flow[GONE]
    torch.save({**flow, "flow_transformer.surplus": torch.zeros(2)}, tmp_path / "flow_transformer.pth")
    lines = []
    with pytest.raises(InputError, match=f"1 missing: {GONE}$") as caught:
        check_weights(tmp_path, lines.append, TINY)
    assert "\n" not in str(caught.value)
    assert f"    {GONE}" in lines and "    flow_transformer.surplus" in lines
    flow[GONE] = torch.zeros(7)
    torch.save(flow, tmp_path / "flow_transformer.pth")
    with pytest.raises(InputError, match=r"misshapen: .*linear.bias is \(7,\), wanted \(512,\)"):
        convert_weights(tmp_path, tmp_path / "o.safetensors", TINY)
    assert not (tmp_path / "o.safetensors").exists()


def test_an_absent_file_is_named(folder, tmp_path):
    (tmp_path / "motion_autoencoder.pth").symlink_to(folder / "motion_autoencoder.pth")
    with pytest.raises(InputError, match="lacks flow_transformer and wav2vec2: wanted are flow_transformer.pth"):
        check_weights(tmp_path, lambda line: None, TINY)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no weights in"):
        load_model(tmp_path / "empty")
    with pytest.raises(InputError, match="no weights at .*nowhere"):
        load_model(tmp_path / "nowhere")


class Evil:
    """A pickle of this makes a file when it is opened carelessly."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_files_that_are_broken_or_run_code_are_refused(tmp_path):
    trace = tmp_path / "trace"
    file = tmp_path / "flow_transformer.pth"
    for content in (b"", b"<html>not found</html>", pickle.dumps(Evil(trace))):
        file.write_bytes(content)
        with pytest.raises(InputError, match="flow_transformer.pth is not a readable file of tensors"):
            check_weights(tmp_path, lambda line: None, TINY)
    torch.save({"weights": Evil(trace)}, file)
    with pytest.raises(InputError, match="not a readable file of tensors"):
        check_weights(tmp_path, lambda line: None, TINY)
    assert not trace.exists()
    broken = tmp_path / "ours.safetensors"
    broken.write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{}")
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load_model(broken)
    save_file({"a": torch.zeros(1)}, broken)
    with pytest.raises(InputError, match="was not written by this package"):
        load_model(broken)


def test_networks_are_averaged_by_their_shares(tmp_path, capsys):
    small = ModelConfig.embedded(width=32, depth=1, heads=2)
    files = [tmp_path / f"{name}.safetensors" for name in ("a", "b", "mean", "other")]
    first, second = (AvatarForcing(small) for _ in range(2))
    save_model(first, files[0]), save_model(second, files[1])
    assert main(["learning", "average", f"{files[0]}=3", str(files[1]), "--half", "--out", str(files[2])]) == 0
    mean, a, b = (m.state_dict() for m in (load_model(files[2]), first, second))
    for name in a:
        assert torch.allclose(mean[name], 0.75 * a[name] + 0.25 * b[name], atol=2e-3), name
    assert files[2].stat().st_size < 0.6 * files[0].stat().st_size
    save_model(AvatarForcing(ModelConfig.embedded(width=64, depth=1, heads=2)), files[3])
    for given, said in (
        ([f"{files[0]}=much"], "a share is a number"),
        ([f"{files[0]}=0"], "a share above zero"),
        ([f"{files[0]}=nan"], "a share above zero"),
        ([str(files[0]), f"{files[0]}=2"], "is given twice"),
        ([str(files[0]), str(files[3])], "is another network"),
    ):
        assert main(["learning", "average", *given, "--out", str(tmp_path / "no.safetensors")]) != 0
        assert said in capsys.readouterr().err
    assert main(["learning", "average", str(files[0]), "--out", str(files[0])]) != 0
    assert "give the result another name" in capsys.readouterr().err
