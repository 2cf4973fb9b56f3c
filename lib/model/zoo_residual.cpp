// A small residual classifier for 112 x 112 grey images, meant to be split.
//
// The stem shrinks the image at once, and the residual stream between blocks is narrow while each
// block is wide inside: nearly all the work lies behind small tensors, so every block border is a
// place where little has to cross the link.
//
// The kernels' taps lie two apart. With neighbouring taps the same weights see a half-size image as
// they see the full one now, so most of a training can be done at half size, for a quarter of the
// work (see examples/train_fashion_mnist.cpp).

#include "lib/model/zoo_networks.hpp"
#include "lib/model/zoo_torch.hpp"

namespace cleave::inline v0::model::zoo_detail {

namespace {

/// Narrow in, wide 3x3 convolution inside, narrow out; with a shortcut where the shapes agree.
Module block(const Layers& layers, std::int64_t in, std::int64_t width, std::int64_t out,
             std::int64_t stride) {
  const Children children{{"expand", layers.conv({.in = in, .out = width})},
                          {"expand_norm", layers.batch_norm(width)},
                          {"conv", layers.conv({.in = width,
                                                .out = width,
                                                .kernel = 3,
                                                .stride = stride,
                                                .padding = 2,
                                                .dilation = 2})},
                          {"conv_norm", layers.batch_norm(width)},
                          {"reduce", layers.conv({.in = width, .out = out})},
                          {"reduce_norm", layers.batch_norm(out)}};
  const bool shortcut = in == out && stride == 1;
  return layers.container("Residual", children,
                          std::string("  y = torch.relu(self.expand_norm.forward("
                                      "self.expand.forward(x)))\n"
                                      "  y = torch.relu(self.conv_norm.forward("
                                      "self.conv.forward(y)))\n"
                                      "  y = self.reduce_norm.forward(self.reduce.forward(y))\n") +
                              (shortcut ? "  return x + y\n" : "  return y\n"));
}

}  // namespace

Module fashion_residual(std::uint64_t seed) {
  const Layers layers;
  // Mean and deviation of Fashion-MNIST's training pixels as fractions of white.
  const Module normalize = layers.container("Normalize", {}, "  return (x - 0.2860) / 0.3530\n");
  const Module stem = layers.sequential(
      {{"conv",
        layers.conv({.in = 1, .out = 16, .kernel = 7, .stride = 4, .padding = 6, .dilation = 2})},
       {"norm", layers.batch_norm(16)},
       {"relu", layers.relu()},
       {"down",
        layers.conv({.in = 16, .out = 24, .kernel = 3, .stride = 2, .padding = 2, .dilation = 2})},
       {"down_norm", layers.batch_norm(24)},
       {"down_relu", layers.relu()}});
  const Module stage1 = layers.sequential(
      {block(layers, 24, 96, 24, 1), block(layers, 24, 96, 24, 1), block(layers, 24, 96, 24, 1)});
  const Module stage2 =
      layers.sequential({block(layers, 24, 128, 16, 1), block(layers, 16, 128, 16, 1),
                         block(layers, 16, 128, 16, 1)});
  const Module stage3 =
      layers.sequential({block(layers, 16, 144, 32, 2), block(layers, 32, 144, 32, 1)});
  const Module head = layers.sequential({{"conv", layers.conv({.in = 32, .out = 128})},
                                         {"norm", layers.batch_norm(128)},
                                         {"relu", layers.relu()},
                                         {"pool", layers.adaptive_avg_pool(1)},
                                         {"flatten", layers.flatten()},
                                         {"linear", layers.linear(128, 10)}});
  Module network = layers.sequential({{"normalize", normalize},
                                      {"stem", stem},
                                      {"stage1", stage1},
                                      {"stage2", stage2},
                                      {"stage3", stage3},
                                      {"head", head}});
  fill_parameters(network, seed);
  const at::Tensor images = as_pixels(structured_images(16, 1, 112, 112, seed));
  calibrate_batch_norms(network, images);
  calibrate_classifier(network, head.attr("linear").toModule(), images);
  return network;
}

}  // namespace cleave::inline v0::model::zoo_detail
