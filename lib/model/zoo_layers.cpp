#include "lib/model/zoo_layers.hpp"

#include <cleave/core/hash.hpp>

#include <torch/csrc/jit/runtime/graph_executor.h>

#include <cmath>
#include <random>
#include <sstream>

namespace cleave::inline v0::model::zoo_detail {

namespace {

/// The statistics' share of the newest batch; 1 takes them from that batch alone.
constexpr double usual_momentum = 0.1;

std::string pair_of(std::int64_t n) {
  return "[" + std::to_string(n) + ", " + std::to_string(n) + "]";
}

std::string exact(double value) {
  std::ostringstream text;
  text.precision(17);
  text << std::showpoint << value;
  return text.str();
}

void define_forward(const Module& module, const std::string& body) {
  Module handle = module;
  handle.define("def forward(self, x: Tensor) -> Tensor:\n" + body);
}

/// About normal: the sum of four 16-bit uniforms, kept in integers until the last multiplication so
/// that the bits do not depend on a mathematical library.
class Draws {
 public:
  explicit Draws(std::uint64_t seed) : engine_(seed) {}
  float operator()(float deviation) {
    const std::uint64_t bits = engine_();
    const auto sum = static_cast<std::int32_t>((bits & 0xFFFF) + ((bits >> 16) & 0xFFFF) +
                                               ((bits >> 32) & 0xFFFF) + (bits >> 48));
    // Four uniforms over [0, 65535]: mean 131070, variance 4 (2^32 - 1) / 12.
    constexpr float unit = 1.0f / 37837.2266f;
    return static_cast<float>(sum - 131070) * unit * deviation;
  }

 private:
  std::mt19937_64 engine_;
};

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

/// How the values of a parameter are spread.
struct Spread {
  float mean = 0;
  float deviation = 0;
};

Spread spread_of(const std::string& path, const at::Tensor& parameter) {
  const auto fan_in = static_cast<float>(parameter.dim() > 1 ? parameter[0].numel() : 1);
  if (ends_with(path, "weight")) {
    if (parameter.dim() == 4)
      return {0, std::sqrt(2 / fan_in)};
    if (parameter.dim() == 2)
      return {0, std::sqrt(1 / fan_in)};
    return {1, 0.1f};
  }
  if (ends_with(path, "bias"))
    return {0, 0.1f};
  return {0, 0.5f};  // embeddings
}

/// Rounds to ten bits: what differs between two machines' sums is below that but for rare ties.
at::Tensor rounded(const at::Tensor& values) {
  const at::Tensor exponent = at::floor(at::log2(values.abs().clamp_min(1e-20)));
  const at::Tensor step = at::exp2(exponent - 9);
  return at::round(values / step) * step;
}

}  // namespace

Layers::Layers() : unit_(std::make_shared<torch::jit::CompilationUnit>()) {}

Module Layers::make(const std::string& kind) const {
  Module module(c10::QualifiedName("__torch__.cleave." + kind), unit_, true);
  module.register_attribute("training", c10::BoolType::get(), false);
  return module;
}

Module Layers::container(const std::string& kind, const Children& children,
                         const std::string& body) const {
  Module module = make(kind);
  for (const auto& [name, child] : children) module.register_module(name, child);
  define_forward(module, body);
  return module;
}

Module Layers::conv(const Conv& shape) const {
  Module module = make("Conv2d");
  module.register_parameter(
      "weight", at::zeros({shape.out, shape.in / shape.groups, shape.kernel, shape.kernel}), false);
  if (shape.bias)
    module.register_parameter("bias", at::zeros({shape.out}), false);
  std::string padding = pair_of(shape.padding), dilation = "[1, 1]";
  if (shape.dilation > 0) {
    module.register_attribute("padding", c10::IntType::get(), shape.padding);
    module.register_attribute("dilation", c10::IntType::get(), shape.dilation);
    padding = "[self.padding, self.padding]";
    dilation = "[self.dilation, self.dilation]";
  }
  define_forward(module, "  return torch.conv2d(x, self.weight, " +
                             std::string(shape.bias ? "self.bias" : "None") + ", " +
                             pair_of(shape.stride) + ", " + padding + ", " + dilation + ", " +
                             std::to_string(shape.groups) + ")\n");
  return module;
}

Module Layers::batch_norm(std::int64_t channels, double eps) const {
  Module module = make("BatchNorm2d");
  module.register_parameter("weight", at::ones({channels}), false);
  module.register_parameter("bias", at::zeros({channels}), false);
  module.register_buffer("running_mean", at::zeros({channels}));
  module.register_buffer("running_var", at::ones({channels}));
  module.register_attribute("momentum", c10::FloatType::get(), usual_momentum);
  define_forward(module,
                 "  return torch.batch_norm(x, self.weight, self.bias, self.running_mean, "
                 "self.running_var, self.training, self.momentum, " +
                     exact(eps) + ", True)\n");
  return module;
}

Module Layers::linear(std::int64_t in, std::int64_t out) const {
  Module module = make("Linear");
  module.register_parameter("weight", at::zeros({out, in}), false);
  module.register_parameter("bias", at::zeros({out}), false);
  define_forward(module, "  return torch.linear(x, self.weight, self.bias)\n");
  return module;
}

Module Layers::layer_norm(std::int64_t width, double eps) const {
  Module module = make("LayerNorm");
  module.register_parameter("weight", at::ones({width}), false);
  module.register_parameter("bias", at::zeros({width}), false);
  define_forward(module, "  return torch.layer_norm(x, [" + std::to_string(width) +
                             "], self.weight, self.bias, " + exact(eps) + ", True)\n");
  return module;
}

Module Layers::relu() const {
  return container("ReLU", {}, "  return torch.relu(x)\n");
}

Module Layers::relu6() const {
  return container("ReLU6", {}, "  return torch.hardtanh(x, 0.0, 6.0)\n");
}

Module Layers::gelu() const {
  return container("GELU", {}, "  return torch.gelu(x)\n");
}

Module Layers::dropout(double p) const {
  return container("Dropout", {}, "  return torch.dropout(x, " + exact(p) + ", self.training)\n");
}

Module Layers::max_pool(std::int64_t kernel, std::int64_t stride, std::int64_t padding,
                        bool ceil_mode) const {
  return container("MaxPool2d", {},
                   "  return torch.max_pool2d(x, " + pair_of(kernel) + ", " + pair_of(stride) +
                       ", " + pair_of(padding) + ", [1, 1], " + (ceil_mode ? "True" : "False") +
                       ")\n");
}

Module Layers::adaptive_avg_pool(std::int64_t side) const {
  return container("AdaptiveAvgPool2d", {},
                   "  return torch.adaptive_avg_pool2d(x, " + pair_of(side) + ")\n");
}

Module Layers::flatten() const {
  return container("Flatten", {}, "  return torch.flatten(x, 1)\n");
}

Module Layers::sequential(const Children& children) const {
  std::string body;
  for (const auto& child : children)
    body += "  x = getattr(self, \"" + child.first + "\").forward(x)\n";
  return container("Sequential", children, body + "  return x\n");
}

Module Layers::sequential(const std::vector<Module>& children) const {
  Children named;
  for (const Module& child : children) named.emplace_back(std::to_string(named.size()), child);
  return sequential(named);
}

void fill_parameters(Module& module, std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  for (const auto& [path, parameter] : module.named_parameters()) {
    // The path is part of the seed, so a parameter does not depend on its neighbours' sizes.
    Draws draw(core::hash_text(path, seed));
    const Spread spread = spread_of(path, parameter);
    float* const values = parameter.data_ptr<float>();
    const std::int64_t count = parameter.numel();
    for (std::int64_t i = 0; i < count; ++i) values[i] = spread.mean + draw(spread.deviation);
    parameter.requires_grad_(true);
  }
}

void calibrate_batch_norms(Module& module, const at::Tensor& images) {
  const at::NoGradGuard no_grad;
  const torch::jit::GraphOptimizerEnabledGuard once(false);
  const auto set = [&](double momentum, bool training) {
    for (Module part : module.modules())
      if (part.hasattr("momentum")) {
        part.setattr("momentum", momentum);
        part.setattr("training", training);
      }
  };
  set(1.0, true);
  module.forward({images});
  set(usual_momentum, false);
  for (const auto& [path, buffer] : module.named_buffers()) buffer.copy_(rounded(buffer));
}

at::Tensor calibrate_affine(Module layer, const at::Tensor& input) {
  const at::NoGradGuard no_grad;
  const torch::jit::GraphOptimizerEnabledGuard once(false);
  at::Tensor bias = layer.attr("bias").toTensor();
  bias.zero_();
  const at::Tensor output = layer.forward({input}).toTensor();
  const at::Tensor by_channel = output.transpose(0, 1).flatten(1);
  const at::Tensor mean = by_channel.mean(1);
  const at::Tensor deviation = (by_channel - mean.unsqueeze(1)).square().mean().sqrt();
  const at::Tensor scale = rounded(deviation.clamp_min(1e-12).reciprocal());
  layer.attr("weight").toTensor().mul_(scale);
  bias.copy_(rounded(-mean * scale));
  std::vector<std::int64_t> by_channels(static_cast<std::size_t>(output.dim()), 1);
  by_channels[1] = -1;
  return output * scale + bias.view(by_channels);
}

at::Tensor calibrate_sequential(Module sequential, const at::Tensor& input) {
  const at::NoGradGuard no_grad;
  const torch::jit::GraphOptimizerEnabledGuard once(false);
  at::Tensor x = input;
  for (Module child : sequential.children())
    x = child.hasattr("bias") ? calibrate_affine(child, x) : child.forward({x}).toTensor();
  return x;
}

void calibrate_classifier(Module& network, Module classifier, const at::Tensor& images) {
  const at::NoGradGuard no_grad;
  const torch::jit::GraphOptimizerEnabledGuard once(false);
  at::Tensor bias = classifier.attr("bias").toTensor();
  bias.zero_();
  const at::Tensor logits = network.forward({images}).toTensor();
  const at::Tensor mean = logits.mean(0);
  const at::Tensor scale =
      rounded((logits - mean).square().mean().sqrt().clamp_min(1e-12).reciprocal());
  classifier.attr("weight").toTensor().mul_(scale);
  bias.copy_(rounded(-mean * scale));
}

}  // namespace cleave::inline v0::model::zoo_detail
