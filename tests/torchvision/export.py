#!/usr/bin/python3
"""Exports torchvision's networks as TorchScript files with random weights, inputs, and what the
unfrozen module makes of them, and lets a checker look at one after the other.

    export.py --list                       the names
    export.py --out FOLDER NAME...         writes NAME.pt and the arrays beside it
    export.py --check CHECKER [NAME...]    exports each in turn, runs CHECKER on it, deletes it

It needs Debian's python3-torch and python3-torchvision, nothing else, and downloads nothing. Beside
NAME.pt lie NAME.in.0.npy ... (the input tensors, in order), NAME.out.0.npy ... (the outputs, in
order), and the same with in2 and out2 for a batch or an image of another size, where the network
takes one.
"""
import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time

import numpy
import torch
import torchvision
from torch import nn, Tensor
from typing import Dict, List, Optional

models = torchvision.models


def images(count, size, seed):
    """Gratings, gradients and noise with mean about 0 and deviation about 1; no two alike."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.linspace(-1, 1, size).view(1, 1, size, 1)
    columns = torch.linspace(-1, 1, size).view(1, 1, 1, size)
    draw = lambda: torch.rand(count, 3, 1, 1, generator=generator)
    waves = torch.sin(6 * (draw() * 4 * rows + draw() * 4 * columns) + 6 * draw())
    return waves + draw() * rows - draw() * columns + 0.3 * torch.randn(
        count, 3, size, size, generator=generator)


def tensors_in(value):
    """All tensors, depth first, as cleave lists them."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    if isinstance(value, (list, tuple)) or not isinstance(value, (str, int, float, type(None))):
        return [tensor for item in value for tensor in tensors_in(item)]
    return []


def calibrate(network, sample):
    """Random weights let signals die or grow layer by layer. This sets the statistics of batch
    normalisation to those of a pass, and scales the other layers so that each gives about unit
    deviation."""
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    network.eval()
    handles = []

    def as_it_comes(module, given, result):
        values = given[0]
        over = [d for d in range(values.dim()) if d != 1]
        module.running_mean.copy_(values.mean(over))
        spread = values.var(over, unbiased=False)
        # No channel is blown up: folding the norm into the layer before costs rounding otherwise.
        module.running_var.copy_(spread + 0.5 * spread.mean() + 1e-5)
        return nn.functional.batch_norm(values, module.running_mean, module.running_var,
                                        module.weight, module.bias, False, 0.0, module.eps)

    def to_unit(module, given, result):
        scale = 1 / (result.std() + 1e-12)
        module.weight.mul_(scale)
        if module.bias is not None:
            module.bias.mul_(scale)
        return result * scale

    for module in norms:
        handles.append(module.register_forward_hook(as_it_comes))
    for module in network.modules():
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and not norms):
            if not isinstance(module, nn.modules.linear.NonDynamicallyQuantizableLinear):
                handles.append(module.register_forward_hook(to_unit))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("layer_scale"):  # 1e-6 in ConvNeXt: its blocks would do nothing
                parameter.fill_(0.5)
            elif name.startswith("heads.") and float(parameter.abs().sum()) == 0:
                parameter.normal_(0, 0.05)  # ViT's starts at zero
        network(sample)
    for handle in handles:
        handle.remove()
    return network


class Family:
    """A classifier or a segmentation network: what makes it, and the side of its images."""

    def __init__(self, make, size=64, other=96, traced=False, **arguments):
        self.make, self.size, self.other, self.traced = make, size, other, traced
        self.arguments = arguments

    def export(self):
        network = self.make(weights=None, **self.arguments)
        # Some noise, too, so that noise fed to it does not run away.
        calibrate(network, torch.cat([images(4, self.size, 1),
                                      torch.randn(4, 3, self.size, self.size)]))
        given, other = [images(1, self.size, 2)], [images(2, self.other or self.size, 3)]
        check_signal(network, self.size)
        if self.traced:
            with torch.no_grad():
                module = torch.jit.trace(network, given[0], strict=False, check_trace=False)
        else:
            module = torch.jit.script(network)
        return module, network, given, other, "1x3x%dx%d" % (self.size, self.size)


def check_signal(network, size):
    with torch.no_grad():
        first, second = (tensors_in(network(images(1, size, seed))) for seed in (5, 6))
    for a, b in zip(first, second):
        largest = float(a.abs().max())
        assert 1e-3 < largest < 1e3, "outputs of magnitude %g" % largest
        assert float((a - b).abs().max()) > 1e-3 * largest, "all inputs look alike"


class Detector:
    """A detection network, which takes a list of images and gives a list of dictionaries."""

    def __init__(self, make, size, **arguments):
        self.make, self.size, self.arguments = make, size, arguments

    def export(self):
        network = self.make(weights=None, weights_backbone=None, num_classes=5, **self.arguments)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if name.endswith("cls_logits.weight"):  # else every score is the same 0.01
                    parameter.mul_(50)
        calibrate(network, [image for image in images(2, self.size, 1).sigmoid()])
        given = [image for image in images(1, self.size, 2).sigmoid()]
        other = [image for image in images(2, self.size + 32, 3).sigmoid()]
        with torch.no_grad():
            for result in network(given) + network(other):
                assert len(result["boxes"]) > 3, "nothing is detected"
        module = torch.jit.script(network)
        return module, module, given, other, "[3x%dx%d]" % (self.size, self.size)


class Nms(nn.Module):
    def forward(self, boxes: Tensor, scores: Tensor, threshold: float = 0.4):
        kept = torchvision.ops.nms(boxes, scores, threshold)
        return kept, boxes[kept] * 2, scores[kept]


class RoiAlign(nn.Module):
    def forward(self, maps: Tensor, boxes: List[Tensor]):
        return (torchvision.ops.roi_align(maps, boxes, [5, 7], 0.5, 2, True),
                torchvision.ops.roi_align(maps, boxes, [3, 3], 0.25, -1, False),
                torchvision.ops.roi_align(maps * 0.5, boxes, [2, 4], 1.0, 3, False))


class Operator:
    """One operator of torchvision by itself, against torchvision's own."""

    def __init__(self, make):
        self.make = make

    def export(self):
        def boxes(count, seed, side=60.0):
            generator = torch.Generator().manual_seed(seed)
            corner = torch.rand(count, 2, generator=generator) * side
            return torch.cat(
                [corner, corner + 2 + 30 * torch.rand(count, 2, generator=generator)], 1)

        module = torch.jit.script(self.make())
        if self.make is Nms:
            scores = lambda count: torch.rand(
                count, generator=torch.Generator().manual_seed(count))
            return (module, module, [boxes(200, 1), scores(200)], [boxes(70, 2), scores(70)],
                    "200x4\n200")
        return (module, module, [torch.randn(2, 4, 32, 40), boxes(9, 3), boxes(5, 4)],
                [torch.randn(2, 3, 50, 30), boxes(1, 5), boxes(20, 6, 90)],
                "2x4x32x40\n[9x4,5x4]")


def small_maxvit(weights):
    return models.maxvit.MaxVit(input_size=(64, 64), partition_size=2, stem_channels=64,
                                head_dim=32, block_channels=[64, 128, 256, 512],
                                block_layers=[2, 2, 5, 2], stochastic_depth_prob=0.2)


def detector(name):
    def make(**arguments):
        return getattr(models.detection, name)(**arguments)
    return make


networks = {
    "alexnet": Family(models.alexnet, num_classes=10),
    "vgg11": Family(models.vgg11, num_classes=10),
    "resnet18": Family(models.resnet18),
    "resnet18_traced": Family(models.resnet18, traced=True),
    "resnext50": Family(models.resnext50_32x4d),
    "squeezenet1_1": Family(models.squeezenet1_1),
    "densenet121": Family(models.densenet121),
    "googlenet": Family(models.googlenet, init_weights=False),
    "inception_v3": Family(models.inception_v3, 128, 160, init_weights=False),
    "mobilenet_v2": Family(models.mobilenet_v2),
    "mobilenet_v3_small": Family(models.mobilenet_v3_small),
    "mobilenet_v3_small_traced": Family(models.mobilenet_v3_small, traced=True),
    "mnasnet0_5": Family(models.mnasnet0_5),
    "shufflenet_v2_x0_5": Family(models.shufflenet_v2_x0_5),
    "efficientnet_b0": Family(models.efficientnet_b0),
    "regnet_y_400mf": Family(models.regnet_y_400mf),
    "convnext_tiny": Family(models.convnext_tiny),
    "vit_b_16": Family(models.vit_b_16, 64, None, image_size=64),
    "vit_b_16_traced": Family(models.vit_b_16, 64, None, traced=True, image_size=64),
    "swin_t": Family(models.swin_t),
    "swin_t_traced": Family(models.swin_t, 64, None, traced=True),
    # maxvit_t() fixes windows of 7, which take images of 224 at least.
    "maxvit_t": Family(small_maxvit, 64, None),
    "lraspp": Family(models.segmentation.lraspp_mobilenet_v3_large, weights_backbone=None),
    "deeplabv3": Family(models.segmentation.deeplabv3_mobilenet_v3_large, weights_backbone=None),
    "nms": Operator(Nms),
    "roi_align": Operator(RoiAlign),
    "fasterrcnn": Detector(detector("fasterrcnn_mobilenet_v3_large_320_fpn"), 128,
                           min_size=128, max_size=192, rpn_pre_nms_top_n_test=50,
                           rpn_post_nms_top_n_test=30, box_detections_per_img=10),
    "ssdlite320": Detector(detector("ssdlite320_mobilenet_v3_large"), 160, topk_candidates=30,
                           detections_per_img=10),
    "retinanet": Detector(detector("retinanet_resnet50_fpn"), 96, min_size=96, max_size=160,
                          topk_candidates=30, detections_per_img=10),
}


def save(name, folder):
    torch.manual_seed(0)
    module, plain, given, other, spec = networks[name].export()
    path = os.path.join(folder, name)
    module.eval()
    takes_list = isinstance(networks[name], Detector)
    with torch.no_grad():
        for suffix, inputs in (("", given), ("2", other)):
            if takes_list:
                arguments = [[tensor.clone() for tensor in inputs]]
            elif name == "roi_align":
                arguments = [inputs[0], inputs[1:]]
            else:
                arguments = [tensor.clone() for tensor in inputs]
            for i, tensor in enumerate(inputs):
                numpy.save("%s.in%s.%d.npy" % (path, suffix, i), tensor.numpy())
            # As exported, by the script's own code without libtorch's optimisations.
            with torch.jit.optimized_execution(False):
                outputs = tensors_in(module(*arguments))
            for i, tensor in enumerate(outputs):
                numpy.save("%s.out%s.%d.npy" % (path, suffix, i), tensor.numpy())
    torch.jit.save(module, path + ".pt", _extra_files={"cleave_inputs.txt": spec})


def check(checker, names):
    failed = []
    with tempfile.TemporaryDirectory(prefix="cleave-sweep-") as folder:
        for name in names:
            start = time.monotonic()
            child = os.fork()  # so that each network's memory goes with it
            if child == 0:
                try:
                    save(name, folder)
                    os._exit(0)
                except Exception as error:  # noqa: one network's failure must not hide the others
                    print("%-26s cannot be exported: %.300r" % (name, error), flush=True)
                    os._exit(1)
            exported = os.waitpid(child, 0)[1] == 0
            middle = time.monotonic()
            if exported:
                ran = subprocess.run([checker, os.path.join(folder, name + ".pt")])
                exported = ran.returncode == 0
            if not exported:
                failed.append(name)
            for file in os.listdir(folder):
                os.remove(os.path.join(folder, file))
            print("%-26s %s: exported in %.1f s, checked in %.1f s" %
                  ("", "FAILED" if not exported else "passed", middle - start,
                   time.monotonic() - middle), flush=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print("%d networks, %d failed%s; at most %.0f MB each" %
          (len(names), len(failed), ": " + ", ".join(failed) if failed else "", peak))
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--out")
    parser.add_argument("--check")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in networks]
    if unknown:
        parser.error("there is no network %s; there are %s" % (unknown[0], ", ".join(networks)))
    names = options.names or list(networks)
    if options.list:
        print("\n".join(networks))
        return 0
    torch.set_num_threads(2)
    if options.check:
        return check(options.check, names)
    if not options.out:
        parser.error("give --list, --out or --check")
    for name in names:
        save(name, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
