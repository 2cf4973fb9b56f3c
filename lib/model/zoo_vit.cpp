// ViT-B/16; layers are named as in torchvision.

#include "lib/model/zoo_networks.hpp"

namespace cleave::inline v0::model::zoo_detail {

namespace {

constexpr std::int64_t width = 768;
constexpr std::int64_t heads = 12;
constexpr std::int64_t patch = 16;
constexpr std::int64_t tokens = (224 / patch) * (224 / patch) + 1;
constexpr double norm_eps = 1e-6;

Module self_attention(const Layers& layers) {
  Module module = layers.make("MultiheadAttention");
  module.register_parameter("in_proj_weight", at::zeros({3 * width, width}), false);
  module.register_parameter("in_proj_bias", at::zeros({3 * width}), false);
  module.register_module("out_proj", layers.linear(width, width));
  static_assert(heads == 12 && width / heads == 64, "the text below names these numbers");
  module.define(
      "def forward(self, x: Tensor) -> Tensor:\n"
      "  n = x.size(0)\n"
      "  t = x.size(1)\n"
      "  qkv = torch.linear(x, self.in_proj_weight, self.in_proj_bias)\n"
      "  qkv = qkv.reshape([n, t, 3, 12, 64]).permute([2, 0, 3, 1, 4])\n"
      "  q = torch.select(qkv, 0, 0) * 0.125\n"  // 1 / sqrt(64)
      "  k = torch.select(qkv, 0, 1)\n"
      "  v = torch.select(qkv, 0, 2)\n"
      "  weights = torch.softmax(torch.matmul(q, k.transpose(-2, -1)), -1)\n"
      "  y = torch.matmul(weights, v).transpose(1, 2).reshape([n, t, 768])\n"
      "  return self.out_proj.forward(y)\n");
  return module;
}

Module encoder_layer(const Layers& layers) {
  return layers.container(
      "EncoderBlock",
      {{"ln_1", layers.layer_norm(width, norm_eps)},
       {"self_attention", self_attention(layers)},
       {"ln_2", layers.layer_norm(width, norm_eps)},
       {"mlp",
        layers.sequential({layers.linear(width, 4 * width), layers.gelu(), layers.dropout(0.0),
                           layers.linear(4 * width, width), layers.dropout(0.0)})}},
      "  x = x + self.self_attention.forward(self.ln_1.forward(x))\n"
      "  return x + self.mlp.forward(self.ln_2.forward(x))\n");
}

Module encoder(const Layers& layers) {
  Children blocks;
  for (int i = 0; i < 12; ++i)
    blocks.emplace_back("encoder_layer_" + std::to_string(i), encoder_layer(layers));
  Module module = layers.make("Encoder");
  module.register_parameter("pos_embedding", at::zeros({1, tokens, width}), false);
  module.register_module("layers", layers.sequential(blocks));
  module.register_module("ln", layers.layer_norm(width, norm_eps));
  module.define(
      "def forward(self, x: Tensor) -> Tensor:\n"
      "  return self.ln.forward(self.layers.forward(x + self.pos_embedding))\n");
  return module;
}

}  // namespace

Module vit_b_16(std::uint64_t seed) {
  const Layers layers;
  const Module head = layers.linear(width, 1000);
  Module network = layers.make("VisionTransformer");
  network.register_parameter("class_token", at::zeros({1, 1, width}), false);
  network.register_module(
      "conv_proj",
      layers.conv({.in = 3, .out = width, .kernel = patch, .stride = patch, .bias = true}));
  network.register_module("encoder", encoder(layers));
  network.register_module("heads", layers.sequential({{"head", head}}));
  network.define(
      "def forward(self, x: Tensor) -> Tensor:\n"
      "  n = x.size(0)\n"
      "  x = self.conv_proj.forward(x).flatten(2).transpose(1, 2)\n"
      "  x = torch.cat([self.class_token.expand([n, -1, -1]), x], 1)\n"
      "  x = self.encoder.forward(x)\n"
      "  return self.heads.forward(torch.select(x, 1, 0))\n");
  fill_parameters(network, seed);
  calibrate_classifier(network, head, calibration_images(3, 224, 224, seed));
  return network;
}

}  // namespace cleave::inline v0::model::zoo_detail
