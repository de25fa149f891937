"""A converted denoiser computes what guided-diffusion's network computes: written here from its description."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from hybrid_rs.guards.denoised import DenoisedGuard
from hybrid_rs.guards.guided_diffusion import convert, converted, main
from hybrid_rs.small_guard.guard import load_bay_guard

WIDTH, HEAD = 32, 16


class Residual(nn.Module):
    """Norm, SiLU, convolution; the time scales and shifts the second norm; both ways may be resized before."""

    def __init__(self, old, new, resize=None):
        super().__init__()
        self.resize = resize or (lambda x: x)
        self.in_layers = nn.Sequential(nn.GroupNorm(32, old), nn.SiLU(), nn.Conv2d(old, new, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(4 * WIDTH, 2 * new))
        last = nn.Conv2d(new, new, 3, padding=1)
        self.out_layers = nn.Sequential(nn.GroupNorm(32, new), nn.SiLU(), nn.Dropout(0.0), last)
        self.skip_connection = nn.Identity() if old == new else nn.Conv2d(old, new, 1)

    def forward(self, x, time):
        norm, silu, conv = self.in_layers
        h = conv(self.resize(silu(norm(x))))
        scale, shift = self.emb_layers(time)[..., None, None].chunk(2, dim=1)
        h = self.out_layers[1:](self.out_layers[0](h) * (1 + scale) + shift)
        return self.skip_connection(self.resize(x)) + h


class Attention(nn.Module):
    """Every head has its own queries, keys and values, one after the other."""

    def __init__(self, width):
        super().__init__()
        self.norm, self.qkv = nn.GroupNorm(32, width), nn.Conv1d(width, 3 * width, 1)
        self.proj_out = nn.Conv1d(width, width, 1)

    def forward(self, x, time):
        flat = x.flatten(2)
        heads = self.qkv(self.norm(flat)).unflatten(1, (-1, 3, HEAD))
        q, k, v = heads.unbind(2)
        shares = torch.softmax(q.transpose(2, 3) @ k / math.sqrt(HEAD), dim=-1)
        return x + self.proj_out((v @ shares.transpose(2, 3)).flatten(1, 2)).unflatten(2, x.shape[2:])


class Convolution(nn.Conv2d):
    def forward(self, x, time):
        return super().forward(x)


class Block(nn.Sequential):
    def forward(self, x, time):
        for layer in self:
            x = layer(x, time)
        return x


class UNet(nn.Module):
    """Levels of so many residual blocks; some levels have attention; the last of a level changes the resolution."""

    def __init__(self, multiples=(1, 2, 2), attended=(False, True, True), each=2):
        super().__init__()
        self.time_embed = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.SiLU(), nn.Linear(4 * WIDTH, 4 * WIDTH))
        self.input_blocks = nn.ModuleList([Block(Convolution(3, WIDTH, 3, padding=1))])
        widths, now = [WIDTH], WIDTH
        for level, (multiple, seen) in enumerate(zip(multiples, attended, strict=True)):
            for _ in range(each):
                self.input_blocks.append(Block(Residual(now, multiple * WIDTH), *self.seen(multiple, seen)))
                now = multiple * WIDTH
                widths.append(now)
            if level < len(multiples) - 1:
                self.input_blocks.append(Block(Residual(now, now, nn.AvgPool2d(2))))
                widths.append(now)
        self.middle_block = Block(Residual(now, now), Attention(now), Residual(now, now))
        self.output_blocks = nn.ModuleList()
        for level, (multiple, seen) in reversed([*enumerate(zip(multiples, attended, strict=True))]):
            for i in range(each + 1):
                layers = [Residual(now + widths.pop(), multiple * WIDTH), *self.seen(multiple, seen)]
                now = multiple * WIDTH
                double = nn.Upsample(scale_factor=2, mode="nearest")
                layers += [Residual(now, now, double)] if level and i == each else []
                self.output_blocks.append(Block(*layers))
        self.out = nn.Sequential(nn.GroupNorm(32, now), nn.SiLU(), nn.Conv2d(WIDTH, 6, 3, padding=1))

    def seen(self, multiple, attended):
        return [Attention(multiple * WIDTH)] if attended else []

    def forward(self, x, step):
        angles = step * torch.exp(-math.log(10_000) * torch.arange(WIDTH // 2) / (WIDTH // 2))
        time = self.time_embed(torch.cat([angles.cos(), angles.sin()])[None])
        kept = []
        for block in self.input_blocks:
            x = block(x, time)
            kept.append(x)
        x = self.middle_block(x, time)
        for block in self.output_blocks:
            x = block(torch.cat([x, kept.pop()], dim=1), time)
        return self.out(x)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return UNet().eval()


def test_the_converted_network_predicts_the_same_noise(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "small.pt")
    convert(tmp_path / "small.pt", tmp_path / "denoiser", HEAD)
    assert [*tmp_path.rglob("*.safetensors")]
    guard = DenoisedGuard.from_pretrained(load_bay_guard(), tmp_path / "denoiser", 0.5)
    noisy = torch.randn(2, 3, 32, 32)
    for step in (0, 7, 500):
        with torch.inference_mode():
            found, expected = guard.unet(noisy, step).sample, network(noisy, step)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    betas = np.linspace(1e-4, 0.02, 1000)
    np.testing.assert_allclose(guard.alphas, np.cumprod(1 - betas), rtol=1e-4)
    image = np.random.default_rng(0).normal(0.5, 0.5, (1, 3, 32, 32)).astype(np.float32)
    assert guard.denoised(image).shape == image.shape


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state | {"label_emb.weight": torch.zeros(10, 4 * WIDTH)},
        lambda state: {name: value for name, value in state.items() if not name.startswith("out.")},
        lambda state: state | {"input_blocks.3.0.op.weight": torch.zeros(1)},
        lambda state: {name: value for name, value in state.items() if not name.startswith("output_blocks")},
    ],
)
def test_another_network_is_refused(network, change):
    with pytest.raises(ValueError, match=r"checkpoint = .*give an unconditional model of guided-diffusion"):
        converted(change(network.state_dict()), HEAD)


def test_heads_that_do_not_fit_are_refused(network):
    with pytest.raises(ValueError, match="head = 50: 3 x head does not divide"):
        converted(network.state_dict(), 50)


def test_code_in_a_pickle_is_not_run(tmp_path):
    torch.save({"state": print}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"checkpoint = .*: give a complete file of the weights .* and nothing else"):
        convert(tmp_path / "other.pt", tmp_path / "denoiser")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, "there is no such file"),
        (lambda file: file.write_bytes(b"no pickle"), "give a complete file of the weights"),
        (lambda file: file.write_bytes(b""), "give a complete file of the weights"),
        (lambda file: torch.save([1, 2], file), "give a complete file of the weights"),
        (lambda file: torch.save({"out": 3}, file), "give a complete file of the weights"),
        (lambda file: torch.save({"a": torch.zeros(1)}, file), "give an unconditional model of guided-diffusion"),
        (lambda file: torch.save({"input_blocks.x": torch.zeros(1)}, file), "give an unconditional model"),
    ],
)
def test_a_file_that_cannot_be_converted_is_one_line(tmp_path, made, message):
    file = tmp_path / "file.pt"
    if made is not None:
        made(file)
    with pytest.raises(SystemExit) as caught:
        main([str(file), str(tmp_path / "out")])
    said = str(caught.value)  # Python prints a string, and exits with status 1
    assert said.startswith(f"error: checkpoint = '{file}': ")
    assert (message in said, said.count("\n"), said.count("checkpoint = ")) == (True, 0, 1)
    assert "weights_only" not in said
    assert not (tmp_path / "out").exists()


def test_weights_of_another_shape_are_one_line(network, tmp_path):
    torch.save(network.state_dict() | {"out.2.bias": torch.zeros(1)}, tmp_path / "file.pt")
    with pytest.raises(ValueError, match=r"checkpoint = '.*': give an unconditional model"):
        convert(tmp_path / "file.pt", tmp_path / "out", HEAD)
