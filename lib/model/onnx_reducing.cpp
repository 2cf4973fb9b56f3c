// ONNX operators that reduce along dimensions, find the largest, or sum up.
#include "lib/model/onnx_node.hpp"

#include <algorithm>
#include <array>

namespace cleave::inline v0::model::onnx_in {
namespace {

struct Axes {
  Sizes dims;   ///< ascending, each once
  Sizes sizes;  ///< of the result
  bool keep = true;
};

// The axes are an attribute in older opsets and an input in newer ones. None: all, unless
// noop_with_empty_axes, when nothing is reduced and `dims` stays empty.
Axes read_axes(Node& node) {
  const Val& x = node.in(0);
  Axes axes;
  axes.keep = node.flag("keepdims", true);
  std::optional<Sizes> given = node.attribute_or_input("axes", 1);
  if (!given || given->empty()) {
    given.emplace();
    if (!node.flag("noop_with_empty_axes")) {
      for (std::int64_t d = 0; d < x.rank(); ++d) given->push_back(d);
    }
  }
  for (const std::int64_t axis : *given) axes.dims.push_back(axis_of(axis, x.rank()));
  std::sort(axes.dims.begin(), axes.dims.end());
  if (std::adjacent_find(axes.dims.begin(), axes.dims.end()) != axes.dims.end())
    corrupt("an axis is given twice");
  for (std::int64_t d = 0; d < x.rank(); ++d) {
    if (!std::binary_search(axes.dims.begin(), axes.dims.end(), d))
      axes.sizes.push_back(x.size(d));
    else if (axes.keep)
      axes.sizes.push_back(1);
  }
  return axes;
}

void not_empty(const Val& x) {
  for (const std::int64_t size : x.sizes) {
    if (size == 0)
      refuse("the reduction of no elements");
  }
}

Arg of_type(at::ScalarType dtype) {
  return Arg::named("dtype", static_cast<std::int64_t>(dtype));
}

Val total(Builder& b, const Val& x, const Axes& axes) {
  if (axes.dims.empty())
    return x;
  return b.emit("aten::sum", {x, axes.dims, axes.keep, of_type(x.dtype)}, x.dtype, axes.sizes,
                count(x.sizes));
}

std::vector<Val> reduce_sum(Node& node) {
  return {total(node.builder, node.in(0), read_axes(node))};
}

std::vector<Val> reduce_mean(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  const Axes axes = read_axes(node);
  if (axes.dims.empty())
    return {x};
  if (x.is_floating())
    return {b.emit("aten::mean", {x, axes.dims, axes.keep}, x.dtype, axes.sizes, count(x.sizes))};
  std::int64_t places = 1;
  for (const std::int64_t d : axes.dims) {
    if (x.size(d) < 1)
      refuse("the mean of integers over a size that is not known");
    places *= x.size(d);
  }
  const Val sum = total(b, x, axes);
  return {b.emit(
      "aten::div",
      {sum, scalar(static_cast<double>(places), x.dtype), Arg::named("rounding_mode", "trunc")},
      x.dtype, sum.sizes)};
}

std::vector<Val> extreme(Node& node, const char* op) {
  const Val& x = node.in(0);
  const Axes axes = read_axes(node);
  if (axes.dims.empty())
    return {x};
  not_empty(x);
  return {node.builder.emit(op, {x, axes.dims, axes.keep}, x.dtype, axes.sizes, count(x.sizes))};
}

std::vector<Val> reduce_max(Node& node) {
  return extreme(node, "aten::amax");
}
std::vector<Val> reduce_min(Node& node) {
  return extreme(node, "aten::amin");
}

std::vector<Val> reduce_prod(Node& node) {
  Builder& b = node.builder;
  Val x = node.in(0);
  const at::ScalarType dtype = x.dtype;
  const Axes axes = read_axes(node);
  for (auto d = axes.dims.rbegin(); d != axes.dims.rend(); ++d) {
    Sizes sizes = x.sizes;
    if (axes.keep)
      sizes[static_cast<std::size_t>(*d)] = 1;
    else
      sizes.erase(sizes.begin() + *d);
    x = b.emit("aten::prod", {x, *d, axes.keep, of_type(dtype)}, dtype, std::move(sizes),
               count(x.sizes));
  }
  return {x};
}

std::vector<Val> reduce_l1(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  return {total(b, same(b, "aten::abs", {x}, x), read_axes(node))};
}

Val sum_of_squares(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  return total(b, same(b, "aten::mul", {x, x}, x), read_axes(node));
}

std::vector<Val> reduce_l2(Node& node) {
  Builder& b = node.builder;
  const Val sum = sum_of_squares(node);
  if (!sum.is_floating())
    return {cast(b, b.emit("aten::sqrt", {cast(b, sum, at::kDouble)}, at::kDouble, sum.sizes),
                 sum.dtype)};
  return {same(b, "aten::sqrt", {sum}, sum)};
}

std::vector<Val> reduce_sum_square(Node& node) {
  return {sum_of_squares(node)};
}

void only_floating(const Val& x) {
  if (!x.is_floating())
    refuse(std::string("numbers of the type ") + c10::toString(x.dtype));
}

std::vector<Val> reduce_log_sum(Node& node) {
  only_floating(node.in(0));
  const Val sum = total(node.builder, node.in(0), read_axes(node));
  return {same(node.builder, "aten::log", {sum}, sum)};
}

std::vector<Val> reduce_log_sum_exp(Node& node) {
  const Val& x = node.in(0);
  only_floating(x);
  const Axes axes = read_axes(node);
  if (axes.dims.empty())
    return {x};
  return {node.builder.emit("aten::logsumexp", {x, axes.dims, axes.keep}, x.dtype, axes.sizes,
                            count(x.sizes))};
}

Val flipped(Builder& b, const Val& x, std::int64_t dim) {
  return same(b, "aten::flip", {x, Sizes{dim}}, x);
}

// The first of equal elements, or the last where that is asked for.
std::vector<Val> arg_extreme(Node& node, const char* op) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  const std::int64_t axis = axis_of(node.integer("axis", 0), x.rank());
  const bool keep = node.flag("keepdims", true), last = node.flag("select_last_index");
  not_empty(x);
  Sizes sizes = x.sizes;
  if (keep)
    sizes[static_cast<std::size_t>(axis)] = 1;
  else
    sizes.erase(sizes.begin() + axis);
  const Val found =
      b.emit(op, {last ? flipped(b, x, axis) : x, axis, keep}, at::kLong, sizes, count(x.sizes));
  if (!last)
    return {found};
  if (x.size(axis) == unknown)
    refuse("select_last_index over a size that depends on the data");
  return {same(b, "aten::add", {same(b, "aten::neg", {found}, found), x.size(axis) - 1}, found)};
}

std::vector<Val> arg_max(Node& node) {
  return arg_extreme(node, "aten::argmax");
}
std::vector<Val> arg_min(Node& node) {
  return arg_extreme(node, "aten::argmin");
}

// Of equal elements the one with the lower index comes first, hence the stable sort.
std::vector<Val> top_k(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  const std::int64_t axis = axis_of(node.integer("axis", -1), x.rank());
  std::int64_t k = 0;
  if (node.opset < 10) {
    k = node.integer("k", -1);
  } else {
    const Sizes given = node.ints(1);
    if (given.size() != 1)
      corrupt("k must be one number");
    k = given[0];
  }
  if (k < 0 || (x.size(axis) != unknown && k > x.size(axis)))
    corrupt("k = " + std::to_string(k) + " of " + to_text(x.sizes));
  auto sorted = b.emit_several("aten::sort",
                               {x, Arg::named("stable", true), Arg::named("dim", axis),
                                Arg::named("descending", node.flag("largest", true))},
                               {{x.dtype, x.sizes}, {at::kLong, x.sizes}}, count(x.sizes) * 32);
  return {slice(b, sorted[0], axis, 0, k), slice(b, sorted[1], axis, 0, k)};
}

std::vector<Val> cum_sum(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  const auto axis = axis_of(static_cast<std::int64_t>(node.number(1)), x.rank());
  const bool reverse = node.flag("reverse");
  const Val y = reverse ? flipped(b, x, axis) : x;
  Val sum = same(b, "aten::cumsum", {y, axis, of_type(x.dtype)}, x);
  if (node.flag("exclusive")) {
    // Without the element itself: all moved by one, a zero in front.
    if (x.size(axis) == unknown)
      refuse("a size that depends on the data");
    if (x.size(axis) > 0) {
      Sizes pads(static_cast<std::size_t>(2 * (x.rank() - axis)), 0);
      pads[pads.size() - 2] = 1;
      pads[pads.size() - 1] = -1;
      const Arg zero = x.is_floating() ? Arg(0.0) : Arg(0);
      sum = same(b, "aten::constant_pad_nd", {sum, pads, zero}, sum);
    }
  }
  return {reverse ? flipped(b, sum, axis) : sum};
}

constexpr std::array table{
    Operator{"ArgMax", 1, arg_max, ""},
    Operator{"ArgMin", 1, arg_min, ""},
    Operator{"CumSum", 11, cum_sum, "constant axis"},
    Operator{"ReduceL1", 1, reduce_l1, "constant axes"},
    Operator{"ReduceL2", 1, reduce_l2, "constant axes"},
    Operator{"ReduceLogSum", 1, reduce_log_sum, "constant axes, floating point"},
    Operator{"ReduceLogSumExp", 1, reduce_log_sum_exp, "constant axes, floating point"},
    Operator{"ReduceMax", 1, reduce_max, "constant axes"},
    Operator{"ReduceMean", 1, reduce_mean, "constant axes"},
    Operator{"ReduceMin", 1, reduce_min, "constant axes"},
    Operator{"ReduceProd", 1, reduce_prod, "constant axes"},
    Operator{"ReduceSum", 1, reduce_sum, "constant axes"},
    Operator{"ReduceSumSquare", 1, reduce_sum_square, "constant axes"},
    Operator{"TopK", 1, top_k, "constant k"},
};

}  // namespace

std::span<const Operator> reducing_operators() {
  return table;
}

}  // namespace cleave::inline v0::model::onnx_in
