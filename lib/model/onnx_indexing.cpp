// ONNX operators that pick elements by index, or put them there.
#include "lib/model/onnx_node.hpp"

#include <array>
#include <optional>

namespace cleave::inline v0::model::onnx_in {
namespace {

// Indices as ATen wants them: int64, none negative. Constants are checked against the size.
Val counted_from_front(Builder& b, const Val& indices, std::int64_t size) {
  if (indices.dtype != at::kLong && indices.dtype != at::kInt)
    corrupt("indices must be int32 or int64");
  const Val wide = cast(b, indices, at::kLong);
  if (size == unknown)
    refuse("indices into a size that depends on the data");
  if (wide.is_constant()) {
    const at::Tensor& given = wide.constant;
    if (given.numel() > 0 &&
        (given.min().item<std::int64_t>() < -size || given.max().item<std::int64_t>() >= size))
      corrupt("an index outside of " + std::to_string(size) + " elements");
    return Val(at::where(given.lt(0), given.add(size), given));
  }
  const Val negative = b.emit("aten::lt", {wide, 0}, at::kBool, wide.sizes);
  return same(b, "aten::where", {negative, same(b, "aten::add", {wide, size}, wide), wide}, wide);
}

// Of constant indices k, k+1, k+2, ...: the first.
std::optional<std::int64_t> start_of_range(const Val& indices) {
  if (!indices.is_constant() || indices.constant.numel() == 0)
    return std::nullopt;
  const at::Tensor given = indices.constant.flatten();
  const auto first = given[0].item<std::int64_t>();
  if (!at::equal(given, at::arange(first, first + given.numel(), at::kLong)))
    return std::nullopt;
  return first;
}

std::vector<Val> gather(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  const std::int64_t axis = axis_of(node.integer("axis", 0), x.rank());
  const Val indices = counted_from_front(b, node.in(1), x.size(axis));
  Sizes sizes(x.sizes.begin(), x.sizes.begin() + axis);
  sizes.insert(sizes.end(), indices.sizes.begin(), indices.sizes.end());
  sizes.insert(sizes.end(), x.sizes.begin() + axis + 1, x.sizes.end());
  if (indices.is_constant() && indices.rank() == 0)
    return {b.emit("aten::select", {x, axis, indices.constant.item<std::int64_t>()}, x.dtype,
                   std::move(sizes))};
  if (const auto from = start_of_range(indices))
    return {reshape(b, slice(b, x, axis, *from, *from + indices.constant.numel(), 1),
                    std::move(sizes))};
  if (axis == 0 && x.rank() == 2 && x.is_floating())
    return {b.emit("aten::embedding", {x, indices}, x.dtype, std::move(sizes))};
  need_sizes(indices, "indices");
  Sizes flat = x.sizes;
  flat[static_cast<std::size_t>(axis)] = count(indices.sizes);
  Val y = b.emit("aten::index_select", {x, axis, reshape(b, indices, {count(indices.sizes)})},
                 x.dtype, std::move(flat));
  return {indices.rank() == 1 ? y : reshape(b, y, std::move(sizes))};
}

std::vector<Val> gather_elements(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  const std::int64_t axis = axis_of(node.integer("axis", 0), x.rank());
  const Val indices = counted_from_front(b, node.in(1), x.size(axis));
  if (indices.rank() != x.rank())
    corrupt("indices of the sizes " + to_text(indices.sizes) + " into " + to_text(x.sizes));
  for (std::int64_t d = 0; d < x.rank(); ++d) {
    if (d != axis && x.size(d) != unknown && indices.size(d) > x.size(d))
      corrupt("indices of the sizes " + to_text(indices.sizes) + " into " + to_text(x.sizes));
  }
  return {b.emit("aten::gather", {x, axis, indices}, x.dtype, indices.sizes)};
}

// The index tensors, one a dimension, that an array of index vectors stands for.
std::vector<Val> by_dimension(Builder& b, const Val& x, const Val& indices, std::int64_t batch) {
  need_sizes(x, "indexing");
  need_sizes(indices, "indexing");
  if (indices.rank() < 1 || x.rank() < 1)
    corrupt("indices of the sizes " + to_text(indices.sizes) + " into " + to_text(x.sizes));
  const std::int64_t depth = indices.size(indices.rank() - 1);
  if (batch < 0 || depth < 1 || batch + depth > x.rank() || batch >= indices.rank())
    corrupt("indices of the sizes " + to_text(indices.sizes) + " into " + to_text(x.sizes));
  const Sizes outer(indices.sizes.begin(), indices.sizes.end() - 1);
  std::vector<Val> list;
  for (std::int64_t d = 0; d < batch; ++d) {
    if (indices.size(d) != x.size(d))
      corrupt("indices of the sizes " + to_text(indices.sizes) + " into " + to_text(x.sizes));
    Sizes shape(outer.size(), 1);
    shape[static_cast<std::size_t>(d)] = x.size(d);
    b.count_folded(x.size(d));
    list.emplace_back(at::arange(x.size(d), at::kLong).view(shape));
  }
  for (std::int64_t i = 0; i < depth; ++i) {
    const Val one = b.emit("aten::select", {indices, indices.rank() - 1, i}, indices.dtype, outer);
    list.push_back(counted_from_front(b, one, x.size(batch + i)));
  }
  return list;
}

std::vector<Val> gather_nd(Node& node) {
  Builder& b = node.builder;
  const Val &x = node.in(0), &indices = node.in(1);
  const std::int64_t batch = node.integer("batch_dims", 0);
  auto list = by_dimension(b, x, indices, batch);
  Sizes sizes(indices.sizes.begin(), indices.sizes.end() - 1);
  sizes.insert(sizes.end(), x.sizes.begin() + static_cast<std::ptrdiff_t>(list.size()),
               x.sizes.end());
  return {
      b.emit("aten::index", {x, Arg::optional_list(std::move(list))}, x.dtype, std::move(sizes))};
}

std::vector<Val> scatter_nd(Node& node) {
  Builder& b = node.builder;
  const Val &x = node.in(0), &indices = node.in(1), &updates = node.in(2);
  const std::string reduction = node.text("reduction", "none");
  if (reduction != "none" && reduction != "add")
    refuse("reduction = '" + reduction + "'");
  auto list = by_dimension(b, x, indices, 0);
  Sizes sizes(indices.sizes.begin(), indices.sizes.end() - 1);
  sizes.insert(sizes.end(), x.sizes.begin() + static_cast<std::ptrdiff_t>(list.size()),
               x.sizes.end());
  if (updates.sizes != sizes || updates.dtype != x.dtype)
    corrupt("updates of the sizes " + to_text(updates.sizes) + " where " + to_text(sizes) +
            " are needed");
  return {same(b, "aten::index_put",
               {x, Arg::optional_list(std::move(list)), updates, reduction == "add"}, x)};
}

std::vector<Val> scatter_elements(Node& node) {
  Builder& b = node.builder;
  const Val &x = node.in(0), &updates = node.in(2);
  const std::int64_t axis = axis_of(node.integer("axis", 0), x.rank());
  const std::string reduction = node.text("reduction", "none");
  if (reduction != "none" && reduction != "add")
    refuse("reduction = '" + reduction + "'");
  const Val indices = counted_from_front(b, node.in(1), x.size(axis));
  if (indices.sizes != updates.sizes || indices.rank() != x.rank() || updates.dtype != x.dtype)
    corrupt("updates of the sizes " + to_text(updates.sizes) + " for indices of " +
            to_text(indices.sizes));
  for (std::int64_t d = 0; d < x.rank(); ++d) {
    if (d != axis && indices.size(d) > x.size(d))
      corrupt("indices of the sizes " + to_text(indices.sizes) + " into " + to_text(x.sizes));
  }
  return {same(b, reduction == "add" ? "aten::scatter_add" : "aten::scatter",
               {x, axis, indices, updates}, x)};
}

// One row of [rows, rank]: ONNX has the dimensions first.
std::vector<Val> non_zero(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  if (x.is_constant()) {
    b.count_folded(x.constant.numel() * std::max<std::int64_t>(x.rank(), 1));
    return {Val(x.constant.nonzero().t().contiguous())};
  }
  const Val found = b.emit("aten::nonzero", {x}, at::kLong, {unknown, x.rank()});
  return {b.emit("aten::transpose", {found, 0, 1}, at::kLong, {x.rank(), unknown})};
}

std::vector<Val> one_hot(Node& node) {
  Builder& b = node.builder;
  const Val &given = node.in(0), &values = node.in(2);
  const auto depth = static_cast<std::int64_t>(node.number(1));
  if (depth < 1 || depth > most_elements)
    corrupt("a depth of " + std::to_string(depth));
  if (values.sizes != Sizes{2})
    corrupt("values of the sizes " + to_text(values.sizes));
  const std::int64_t axis = axis_of(node.integer("axis", -1), given.rank() + 1);
  Val indices = cast(b, given, at::kLong);
  const Val negative = b.emit("aten::lt", {indices, 0}, at::kBool, indices.sizes);
  indices = same(b, "aten::where",
                 {negative, same(b, "aten::add", {indices, depth}, indices), indices}, indices);
  Sizes sizes = indices.sizes;
  sizes.insert(sizes.begin() + axis, 1);
  indices = b.emit("aten::unsqueeze", {indices, axis}, at::kLong, sizes);
  sizes[static_cast<std::size_t>(axis)] = depth;
  Sizes shape(sizes.size(), 1);
  shape[static_cast<std::size_t>(axis)] = depth;
  b.count_folded(depth);
  const Val places(at::arange(depth, at::kLong).view(shape));
  const Val hot = b.emit("aten::eq", {indices, places}, at::kBool, sizes);
  const Val off = b.emit("aten::select", {values, 0, 0}, values.dtype, {});
  const Val on = b.emit("aten::select", {values, 0, 1}, values.dtype, {});
  return {b.emit("aten::where", {hot, on, off}, values.dtype, sizes)};
}

constexpr std::array table{
    Operator{"Gather", 1, gather, ""},
    Operator{"GatherElements", 11, gather_elements, ""},
    Operator{"GatherND", 11, gather_nd, ""},
    Operator{"NonZero", 9, non_zero, "what follows it must not need its sizes"},
    Operator{"OneHot", 9, one_hot, "constant depth"},
    Operator{"ScatterElements", 11, scatter_elements, "reduction none or add"},
    Operator{"ScatterND", 11, scatter_nd, "reduction none or add"},
};

}  // namespace

std::span<const Operator> indexing_operators() {
  return table;
}

}  // namespace cleave::inline v0::model::onnx_in
