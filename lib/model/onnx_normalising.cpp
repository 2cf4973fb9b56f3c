// ONNX operators that normalise: by statistics, by neighbours, by exponentials.
#include "lib/model/onnx_node.hpp"

#include <algorithm>
#include <array>

namespace cleave::inline v0::model::onnx_in {
namespace {

namespace jit = torch::jit;

// The convolution that alone computes x, with constant weights; null if there is none.
jit::Node* private_convolution(const Val& x) {
  if (x.kind != Val::Kind::computed || !x.node->uses().empty())
    return nullptr;
  jit::Node* node = x.node->node();
  const auto kind = node->kind();
  if (kind != c10::Symbol::fromQualString("aten::conv1d") &&
      kind != c10::Symbol::fromQualString("aten::conv2d") &&
      kind != c10::Symbol::fromQualString("aten::conv3d"))
    return nullptr;
  const auto weight = jit::toIValue(node->input(1)), bias = jit::toIValue(node->input(2));
  return weight && bias && weight->isTensor() ? node : nullptr;
}

// w' = w * factor, b' = b * factor + shift, computed in double.
bool fold_into_convolution(Builder& b, const Val& x, const at::Tensor& factor,
                           const at::Tensor& shift) {
  jit::Node* node = private_convolution(x);
  if (!node)
    return false;
  const at::Tensor weight = jit::toIValue(node->input(1))->toTensor();
  const c10::IValue bias = *jit::toIValue(node->input(2));
  Sizes by_channel(static_cast<std::size_t>(weight.dim()), 1);
  by_channel[0] = -1;
  b.count_folded(weight.numel());
  const at::Tensor scaled =
      (weight.to(at::kDouble) * factor.view(by_channel)).to(weight.scalar_type());
  at::Tensor moved = shift;
  if (bias.isTensor())
    moved = moved + bias.toTensor().to(at::kDouble) * factor;
  node->replaceInput(1, b.use(Val(scaled)));
  node->replaceInput(2, b.use(Val(moved.to(weight.scalar_type()))));
  return true;
}

std::vector<Val> batch_normalization(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  if (node.flag("training_mode"))
    refuse("training mode");
  if (node.opset < 9 && !node.flag("spatial", true))
    refuse("spatial = 0");
  if (x.rank() < 2)
    corrupt("a value of the sizes " + to_text(x.sizes));
  for (std::size_t i = 1; i <= 4; ++i) {
    if (node.in(i).rank() != 1 || (x.size(1) != unknown && node.in(i).size(0) != x.size(1)))
      corrupt("statistics of the sizes " + to_text(node.in(i).sizes) + " for " + to_text(x.sizes));
  }
  const double epsilon = node.real("epsilon", 1e-5);
  if (node.in(1).is_constant() && node.in(2).is_constant() && node.in(3).is_constant() &&
      node.in(4).is_constant() && x.sizes_known()) {
    const at::Tensor factor =
        node.constant(1).to(at::kDouble) * (node.constant(4).to(at::kDouble) + epsilon).rsqrt();
    const at::Tensor shift =
        node.constant(2).to(at::kDouble) - node.constant(3).to(at::kDouble) * factor;
    if (node.only_reader() && fold_into_convolution(b, x, factor, shift))
      return {x};
  }
  return {same(b, "aten::batch_norm",
               {x, node.in(1), node.in(2), node.in(3), node.in(4), false, 0.1, epsilon, false}, x)};
}

std::vector<Val> instance_normalization(Node& node) {
  const Val& x = node.in(0);
  if (x.rank() < 3 || node.in(1).sizes != Sizes{x.size(1)} || node.in(2).sizes != Sizes{x.size(1)})
    corrupt("scales of the sizes " + to_text(node.in(1).sizes) + " for " + to_text(x.sizes));
  return {same(node.builder, "aten::instance_norm",
               {x, node.in(1), node.in(2), std::nullopt, std::nullopt, true, 0.1,
                node.real("epsilon", 1e-5), false},
               x)};
}

std::vector<Val> layer_normalization(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  const std::int64_t axis = axis_of(node.integer("axis", -1), x.rank());
  const Sizes shape(x.sizes.begin() + axis, x.sizes.end());
  for (const std::int64_t size : shape) {
    if (size == unknown)
      refuse("a size that depends on the data");
  }
  const double epsilon = node.real("epsilon", 1e-5);
  const Val &scale = node.in(1), &bias = node.maybe(2);
  if (scale.sizes == shape && (!bias.present() || bias.sizes == shape))
    return {same(b, "aten::layer_norm", {x, shape, scale, bias, epsilon, false}, x)};
  Val y = same(b, "aten::layer_norm", {x, shape, std::nullopt, std::nullopt, epsilon, false}, x);
  if (broadcast(x.sizes, scale.sizes) != x.sizes ||
      (bias.present() && broadcast(x.sizes, bias.sizes) != x.sizes))
    corrupt("scales of the sizes " + to_text(scale.sizes) + " for " + to_text(x.sizes));
  y = binary(b, "aten::mul", y, scale);
  return {bias.present() ? binary(b, "aten::add", y, bias) : y};
}

// Up to opset 20 with one scale a group.
std::vector<Val> group_normalization(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  const std::int64_t groups = node.integer("num_groups", 0);
  if (x.rank() < 2 || x.size(1) == unknown || groups < 1 || x.size(1) % groups != 0 ||
      node.in(1).sizes != Sizes{groups} || node.in(2).sizes != Sizes{groups})
    corrupt(std::to_string(groups) + " groups for " + to_text(x.sizes));
  const std::int64_t each = x.size(1) / groups;
  Val per_channel[2];
  for (const std::size_t i : {0u, 1u}) {
    per_channel[i] = node.in(i + 1);
    per_channel[i] = reshape(b, per_channel[i], {groups, 1});
    per_channel[i] =
        b.emit("aten::expand", {per_channel[i], Sizes{groups, each}}, x.dtype, {groups, each});
    per_channel[i] = reshape(b, per_channel[i], {x.size(1)});
  }
  return {same(b, "aten::group_norm",
               {x, groups, per_channel[0], per_channel[1], node.real("epsilon", 1e-5), false}, x)};
}

// x / (bias + alpha / size * sum of squares over the neighbouring channels)^beta
std::vector<Val> lrn(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  need_sizes(x, "LRN");
  const std::int64_t size = node.integer("size", 0);
  if (x.rank() < 2 || size < 1 || size > (1 << 20))
    corrupt("size = " + std::to_string(size));
  const double alpha = node.real("alpha", 1e-4), beta = node.real("beta", 0.75),
               bias = node.real("bias", 1);
  const Sizes rest(x.sizes.begin() + 2, x.sizes.end());
  const std::int64_t channels = x.size(1), places = count(rest);
  const std::int64_t before = (size - 1) / 2, after = size - 1 - before;
  Val y = same(b, "aten::mul", {x, x}, x);
  y = reshape(b, y, {x.size(0), 1, channels, places});
  y = b.emit("aten::constant_pad_nd", {y, Sizes{0, 0, before, after}, 0.0}, x.dtype,
             {x.size(0), 1, channels + size - 1, places});
  y = b.emit("aten::avg_pool2d",
             {y, Sizes{size, 1}, Sizes{1, 1}, Sizes{0, 0}, false, true, std::nullopt}, x.dtype,
             {x.size(0), 1, channels, places}, count(x.sizes) * size);
  y = reshape(b, y, x.sizes);
  y = same(b, "aten::mul", {y, alpha}, y);
  y = same(b, "aten::add", {y, bias}, y);
  y = same(b, "aten::pow", {y, beta}, y);
  return {binary(b, "aten::div", x, y)};
}

std::vector<Val> mean_variance_normalization(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  Sizes axes = node.integers("axes").value_or(Sizes{0, 2, 3}), sizes = x.sizes;
  for (std::int64_t& axis : axes) {
    axis = axis_of(axis, x.rank());
    sizes[static_cast<std::size_t>(axis)] = 1;
  }
  const Val mean = b.emit("aten::mean", {x, axes, true}, x.dtype, sizes);
  const Val squares =
      b.emit("aten::mean", {same(b, "aten::mul", {x, x}, x), axes, true}, x.dtype, sizes);
  Val deviation = binary(b, "aten::sub", squares, same(b, "aten::mul", {mean, mean}, mean));
  deviation = same(b, "aten::sqrt", {deviation}, deviation);
  deviation = same(b, "aten::add", {deviation, 1e-9}, deviation);
  return {binary(b, "aten::div", binary(b, "aten::sub", x, mean), deviation)};
}

std::vector<Val> lp_normalization(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  const std::int64_t axis = axis_of(node.integer("axis", -1), x.rank());
  const std::int64_t p = node.integer("p", 2);
  if (p != 1 && p != 2)
    corrupt("p = " + std::to_string(p));
  Sizes sizes = x.sizes;
  sizes[static_cast<std::size_t>(axis)] = 1;
  Val norm = b.emit("aten::norm", {x, p, Sizes{axis}, true}, x.dtype, sizes);
  // Zeros stay zeros.
  const Val zero = b.emit("aten::eq", {norm, 0}, at::kBool, sizes);
  norm = b.emit("aten::where", {zero, scalar(1, x.dtype), norm}, x.dtype, sizes);
  return {binary(b, "aten::div", x, norm)};
}

// Before opset 13 the value was taken for a matrix whose rows begin at the axis.
std::vector<Val> over_rows(Node& node, Val (*act)(Builder&, const Val&, std::int64_t)) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  if (node.opset >= 13)
    return {act(b, x, axis_of(node.integer("axis", -1), std::max<std::int64_t>(x.rank(), 1)))};
  std::int64_t axis = node.integer("axis", 1);
  if (axis < -x.rank() || axis > x.rank())
    corrupt("axis " + std::to_string(axis));
  if (axis < 0)
    axis += x.rank();
  if (axis == x.rank() - 1)
    return {act(b, x, axis)};
  need_sizes(x, "rows");
  const Sizes outer(x.sizes.begin(), x.sizes.begin() + axis),
      inner(x.sizes.begin() + axis, x.sizes.end());
  // One dimension that holds all: no need to bring them together.
  for (std::int64_t d = axis; d < x.rank(); ++d) {
    if (x.size(d) == count(inner) && x.size(d) > 0)
      return {act(b, x, d)};
  }
  return {reshape(b, act(b, reshape(b, x, {count(outer), count(inner)}), 1), x.sizes)};
}

std::vector<Val> softmax(Node& node) {
  return over_rows(node, [](Builder& b, const Val& x, std::int64_t axis) {
    // The last is written as such: kernels look for that.
    const bool last = axis == static_cast<std::int64_t>(x.sizes.size()) - 1;
    return same(b, "aten::softmax", {x, last ? -1 : axis, std::nullopt}, x);
  });
}

std::vector<Val> log_softmax(Node& node) {
  return over_rows(node, [](Builder& b, const Val& x, std::int64_t axis) {
    return same(b, "aten::log_softmax", {x, axis, std::nullopt}, x);
  });
}

// 1 at the first of the largest, else 0.
std::vector<Val> hardmax(Node& node) {
  return over_rows(node, [](Builder& b, const Val& x, std::int64_t axis) {
    Sizes sizes = x.sizes;
    sizes[static_cast<std::size_t>(axis)] = 1;
    const Val largest = b.emit("aten::argmax", {x, axis, true}, at::kLong, sizes);
    const Val zeros = same(b, "aten::zeros_like", {x}, x);
    return same(b, "aten::scatter", {zeros, axis, largest, 1.0}, x);
  });
}

constexpr std::array table{
    Operator{"BatchNormalization", 7, batch_normalization, "evaluation only"},
    Operator{"GroupNormalization", 18, group_normalization, ""},
    Operator{"Hardmax", 1, hardmax, ""},
    Operator{"InstanceNormalization", 6, instance_normalization, ""},
    Operator{"LRN", 1, lrn, ""},
    Operator{"LayerNormalization", 17, layer_normalization, "without mean and deviation"},
    Operator{"LogSoftmax", 1, log_softmax, ""},
    Operator{"LpNormalization", 1, lp_normalization, ""},
    Operator{"MeanVarianceNormalization", 9, mean_variance_normalization, ""},
    Operator{"Softmax", 1, softmax, ""},
};

}  // namespace

std::span<const Operator> normalising_operators() {
  return table;
}

}  // namespace cleave::inline v0::model::onnx_in
