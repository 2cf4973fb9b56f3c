#!/usr/bin/python3
"""Writes the networks that whole passes are timed on as ONNX files, where they are not there yet.

    export.py FOLDER NAME...

Needs Debian's python3-torch and python3-torchvision, and downloads nothing: the weights are random,
with the statistics of batch normalisation taken from a pass, so that no signal dies out (denormal
numbers would be slow) or grows without bound.
"""
import os
import sys
import warnings

import torch
import torchvision

warnings.filterwarnings("ignore")
folder, names = sys.argv[1], sys.argv[2:]
os.makedirs(folder, exist_ok=True)
torch.manual_seed(0)
for name in names:
    path = os.path.join(folder, name + ".onnx")
    if os.path.exists(path):
        continue
    print("exporting", name, flush=True)
    network = getattr(torchvision.models, name)(weights=None)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        network.train()(torch.randn(4, 3, 224, 224))
        if name.startswith("vit"):
            torch.nn.init.normal_(network.heads.head.weight, std=0.02)
    network.eval()
    torch.onnx.export(network, torch.randn(1, 3, 224, 224), path + ".part", opset_version=14,
                      input_names=["x"], output_names=["y"])
    os.replace(path + ".part", path)
