// VGG16, ResNet50, MobileNetV2 and GoogLeNet; layers are named as in torchvision.

#include "lib/model/zoo_networks.hpp"

namespace cleave::inline v0::model::zoo_detail {

namespace {

/// For networks whose layers normalise: fills, calibrates the statistics, then the classifier.
void finish(Module& network, const Module& classifier, std::uint64_t seed) {
  fill_parameters(network, seed);
  const at::Tensor images = calibration_images(3, 224, 224, seed);
  calibrate_batch_norms(network, images);
  calibrate_classifier(network, classifier, images);
}

/// Convolution, normalisation, activation as a sequential of three.
Module conv_norm_relu6(const Layers& layers, const Layers::Conv& shape) {
  return layers.sequential({layers.conv(shape), layers.batch_norm(shape.out), layers.relu6()});
}

Module bottleneck(const Layers& layers, std::int64_t in, std::int64_t width, std::int64_t stride) {
  const std::int64_t out = 4 * width;
  const bool projects = stride != 1 || in != out;
  Children children{
      {"conv1", layers.conv({.in = in, .out = width})},
      {"bn1", layers.batch_norm(width)},
      {"conv2",
       layers.conv({.in = width, .out = width, .kernel = 3, .stride = stride, .padding = 1})},
      {"bn2", layers.batch_norm(width)},
      {"conv3", layers.conv({.in = width, .out = out})},
      {"bn3", layers.batch_norm(out)},
      {"relu", layers.relu()}};
  if (projects)
    children.emplace_back("downsample",
                          layers.sequential({layers.conv({.in = in, .out = out, .stride = stride}),
                                             layers.batch_norm(out)}));
  return layers.container("Bottleneck", children,
                          std::string("  y = self.relu.forward(self.bn1.forward("
                                      "self.conv1.forward(x)))\n"
                                      "  y = self.relu.forward(self.bn2.forward("
                                      "self.conv2.forward(y)))\n"
                                      "  y = self.bn3.forward(self.conv3.forward(y))\n") +
                              (projects ? "  x = self.downsample.forward(x)\n" : "") +
                              "  return self.relu.forward(y + x)\n");
}

Module inverted_residual(const Layers& layers, std::int64_t in, std::int64_t out,
                         std::int64_t stride, std::int64_t expansion) {
  const std::int64_t width = in * expansion;
  std::vector<Module> steps;
  if (expansion != 1)
    steps.push_back(conv_norm_relu6(layers, {.in = in, .out = width}));
  steps.push_back(conv_norm_relu6(
      layers,
      {.in = width, .out = width, .kernel = 3, .stride = stride, .padding = 1, .groups = width}));
  steps.push_back(layers.conv({.in = width, .out = out}));
  steps.push_back(layers.batch_norm(out));
  return layers.container("InvertedResidual", {{"conv", layers.sequential(steps)}},
                          stride == 1 && in == out ? "  return x + self.conv.forward(x)\n"
                                                   : "  return self.conv.forward(x)\n");
}

Module basic_conv(const Layers& layers, const Layers::Conv& shape) {
  return layers.container(
      "BasicConv2d", {{"conv", layers.conv(shape)}, {"bn", layers.batch_norm(shape.out, 1e-3)}},
      "  return torch.relu(self.bn.forward(self.conv.forward(x)))\n");
}

/// The widths of an inception module's branches: 1x1; 1x1 then 3x3, twice; 1x1 after pooling.
struct Inception {
  std::int64_t in, one, reduce3, three, reduce5, five, pooled;
};

Module inception(const Layers& layers, const Inception& w) {
  const auto narrow_then_three = [&](std::int64_t reduced, std::int64_t out) {
    return layers.sequential(
        {basic_conv(layers, {.in = w.in, .out = reduced}),
         basic_conv(layers, {.in = reduced, .out = out, .kernel = 3, .padding = 1})});
  };
  return layers.container(
      "Inception",
      {{"branch1", basic_conv(layers, {.in = w.in, .out = w.one})},
       {"branch2", narrow_then_three(w.reduce3, w.three)},
       // The paper has 5x5 here; the published count is of torchvision's, which has 3x3.
       {"branch3", narrow_then_three(w.reduce5, w.five)},
       {"branch4", layers.sequential({layers.max_pool(3, 1, 1, true),
                                      basic_conv(layers, {.in = w.in, .out = w.pooled})})}},
      "  return torch.cat([self.branch1.forward(x), self.branch2.forward(x), "
      "self.branch3.forward(x), self.branch4.forward(x)], 1)\n");
}

}  // namespace

Module vgg16(std::uint64_t seed) {
  const Layers layers;
  constexpr std::int64_t pool = 0;
  std::vector<Module> features;
  std::int64_t channels = 3;
  for (const std::int64_t width : {64L, 64L, pool, 128L, 128L, pool, 256L, 256L, 256L, pool, 512L,
                                   512L, 512L, pool, 512L, 512L, 512L, pool}) {
    if (width == pool) {
      features.push_back(layers.max_pool(2, 2, 0));
      continue;
    }
    features.push_back(
        layers.conv({.in = channels, .out = width, .kernel = 3, .padding = 1, .bias = true}));
    features.push_back(layers.relu());
    channels = width;
  }
  const Children children{
      {"features", layers.sequential(features)},
      {"avgpool", layers.adaptive_avg_pool(7)},
      {"classifier",
       layers.sequential({layers.linear(512 * 7 * 7, 4096), layers.relu(), layers.dropout(0.5),
                          layers.linear(4096, 4096), layers.relu(), layers.dropout(0.5),
                          layers.linear(4096, 1000)})}};
  Module network = layers.container("VGG", children,
                                    "  x = self.avgpool.forward(self.features.forward(x))\n"
                                    "  x = torch.flatten(x, 1)\n"
                                    "  return self.classifier.forward(x)\n");
  fill_parameters(network, seed);
  const at::NoGradGuard no_grad;
  at::Tensor x = calibrate_sequential(children[0].second, calibration_images(3, 224, 224, seed));
  x = Module(children[1].second).forward({x}).toTensor().flatten(1);
  calibrate_sequential(children[2].second, x);
  return network;
}

Module resnet50(std::uint64_t seed) {
  const Layers layers;
  Children children{
      {"conv1", layers.conv({.in = 3, .out = 64, .kernel = 7, .stride = 2, .padding = 3})},
      {"bn1", layers.batch_norm(64)},
      {"relu", layers.relu()},
      {"maxpool", layers.max_pool(3, 2, 1)}};
  std::int64_t channels = 64;
  const std::int64_t depths[] = {3, 4, 6, 3};
  for (int stage = 0; stage < 4; ++stage) {
    const std::int64_t width = std::int64_t{64} << stage;
    std::vector<Module> blocks;
    for (std::int64_t i = 0; i < depths[stage]; ++i) {
      blocks.push_back(bottleneck(layers, channels, width, i == 0 && stage > 0 ? 2 : 1));
      channels = 4 * width;
    }
    children.emplace_back("layer" + std::to_string(stage + 1), layers.sequential(blocks));
  }
  const Module fc = layers.linear(2048, 1000);
  children.emplace_back("avgpool", layers.adaptive_avg_pool(1));
  children.emplace_back("fc", fc);
  Module network = layers.container(
      "ResNet", children,
      "  x = self.maxpool.forward(self.relu.forward(self.bn1.forward(self.conv1.forward(x))))\n"
      "  x = self.layer2.forward(self.layer1.forward(x))\n"
      "  x = self.layer4.forward(self.layer3.forward(x))\n"
      "  x = torch.flatten(self.avgpool.forward(x), 1)\n"
      "  return self.fc.forward(x)\n");
  finish(network, fc, seed);
  return network;
}

Module mobilenet_v2(std::uint64_t seed) {
  const Layers layers;
  struct Stage {
    std::int64_t expansion, channels, repeats, stride;
  };
  std::vector<Module> features{
      conv_norm_relu6(layers, {.in = 3, .out = 32, .kernel = 3, .stride = 2, .padding = 1})};
  std::int64_t channels = 32;
  for (const Stage& stage :
       {Stage{1, 16, 1, 1}, Stage{6, 24, 2, 2}, Stage{6, 32, 3, 2}, Stage{6, 64, 4, 2},
        Stage{6, 96, 3, 1}, Stage{6, 160, 3, 2}, Stage{6, 320, 1, 1}}) {
    for (std::int64_t i = 0; i < stage.repeats; ++i) {
      features.push_back(inverted_residual(layers, channels, stage.channels,
                                           i == 0 ? stage.stride : 1, stage.expansion));
      channels = stage.channels;
    }
  }
  features.push_back(conv_norm_relu6(layers, {.in = channels, .out = 1280}));
  const Module linear = layers.linear(1280, 1000);
  Module network =
      layers.container("MobileNetV2",
                       {{"features", layers.sequential(features)},
                        {"classifier", layers.sequential({layers.dropout(0.2), linear})}},
                       "  x = torch.adaptive_avg_pool2d(self.features.forward(x), [1, 1])\n"
                       "  return self.classifier.forward(torch.flatten(x, 1))\n");
  finish(network, linear, seed);
  return network;
}

Module googlenet(std::uint64_t seed) {
  const Layers layers;
  const auto stage = [&](const Inception& widths) { return inception(layers, widths); };
  const Module fc = layers.linear(1024, 1000);
  const Children children{
      {"conv1", basic_conv(layers, {.in = 3, .out = 64, .kernel = 7, .stride = 2, .padding = 3})},
      {"maxpool1", layers.max_pool(3, 2, 0, true)},
      {"conv2", basic_conv(layers, {.in = 64, .out = 64})},
      {"conv3", basic_conv(layers, {.in = 64, .out = 192, .kernel = 3, .padding = 1})},
      {"maxpool2", layers.max_pool(3, 2, 0, true)},
      {"inception3a", stage({192, 64, 96, 128, 16, 32, 32})},
      {"inception3b", stage({256, 128, 128, 192, 32, 96, 64})},
      {"maxpool3", layers.max_pool(3, 2, 0, true)},
      {"inception4a", stage({480, 192, 96, 208, 16, 48, 64})},
      {"inception4b", stage({512, 160, 112, 224, 24, 64, 64})},
      {"inception4c", stage({512, 128, 128, 256, 24, 64, 64})},
      {"inception4d", stage({512, 112, 144, 288, 32, 64, 64})},
      {"inception4e", stage({528, 256, 160, 320, 32, 128, 128})},
      {"maxpool4", layers.max_pool(2, 2, 0, true)},
      {"inception5a", stage({832, 256, 160, 320, 32, 128, 128})},
      {"inception5b", stage({832, 384, 192, 384, 48, 128, 128})},
      {"avgpool", layers.adaptive_avg_pool(1)},
      {"flatten", layers.flatten()},
      {"dropout", layers.dropout(0.2)},
      {"fc", fc}};
  Module network = layers.sequential(children);
  finish(network, fc, seed);
  return network;
}

}  // namespace cleave::inline v0::model::zoo_detail
