// ONNX operators that move elements about without looking at them, and those about shapes.
#include "lib/model/onnx_node.hpp"
#include "lib/model/onnx_tensor.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <numeric>

namespace cleave::inline v0::model::onnx_in {
namespace {

Val list_of(const Sizes& numbers) {
  return at::tensor(numbers, at::kLong);
}

std::vector<Val> constant(Node& node) {
  if (const at::Tensor tensor = node.tensor("value"); tensor.defined())
    return {Val(tensor)};
  if (node.has_attribute("value_float"))
    return {at::scalar_tensor(node.real("value_float", 0), at::kFloat)};
  if (const auto numbers = node.reals("value_floats"))
    return {at::tensor(*numbers, at::kDouble).to(at::kFloat)};
  if (node.has_attribute("value_int"))
    return {at::scalar_tensor(at::Scalar(node.integer("value_int", 0)), at::kLong)};
  if (const auto numbers = node.integers("value_ints"))
    return {list_of(*numbers)};
  refuse("a constant that is no dense tensor of numbers");
}

std::vector<Val> shape(Node& node) {
  const Val& x = node.in(0);
  // As for a slice: counted from the end where negative, and kept within the rank.
  const auto bounded = [&](std::int64_t at) {
    return std::clamp<std::int64_t>(at < 0 ? at + x.rank() : at, 0, x.rank());
  };
  const std::int64_t begin = bounded(node.integer("start", 0)),
                     end = bounded(node.integer("end", x.rank()));
  const Sizes part(x.sizes.begin() + begin, x.sizes.begin() + std::max(begin, end));
  if (std::find(part.begin(), part.end(), unknown) == part.end())
    return {list_of(part)};
  const Val all = node.builder.emit("aten::_shape_as_tensor", {x}, at::kLong, {x.rank()});
  return {slice(node.builder, all, 0, begin, std::max(begin, end))};
}

std::vector<Val> size(Node& node) {
  const Val& x = node.in(0);
  need_sizes(x, "the size");
  return {at::scalar_tensor(at::Scalar(count(x.sizes)), at::kLong)};
}

std::vector<Val> constant_of_shape(Node& node) {
  at::Tensor value = node.tensor("value");
  if (!value.defined())
    value = at::zeros({1});
  if (value.numel() != 1)
    corrupt("its value must be one number");
  const Sizes sizes = node.ints(0);
  return {
      node.builder.emit("aten::expand", {value.reshape({}), sizes}, value.scalar_type(), sizes)};
}

std::vector<Val> range(Node& node) {
  const at::Tensor& start = node.constant(0);
  const at::ScalarType dtype = start.scalar_type();
  const double begin = node.number(0), limit = node.number(1), delta = node.number(2);
  const double steps = std::ceil((limit - begin) / delta);
  if (delta == 0 || !(steps < static_cast<double>(most_folded)))
    too_large("a range from " + std::to_string(begin) + " to " + std::to_string(limit));
  const auto places = static_cast<std::int64_t>(std::max(steps, 0.0));
  node.builder.count_folded(places);
  if (c10::isFloatingType(dtype))
    return {(at::arange(places, at::kDouble) * delta + begin).to(dtype)};
  return {(at::arange(places, at::kLong) * static_cast<std::int64_t>(delta) +
           static_cast<std::int64_t>(begin))
              .to(dtype)};
}

std::vector<Val> eye_like(Node& node) {
  const Val& x = node.in(0);
  need_sizes(x, "EyeLike");
  if (x.rank() != 2)
    corrupt("a value of the sizes " + to_text(x.sizes));
  const auto type = node.integer("dtype", 0);
  const at::ScalarType dtype =
      type == 0 ? x.dtype : to_scalar_type(static_cast<std::int32_t>(type));
  const std::int64_t k = node.integer("k", 0);
  node.builder.count_folded(2 * count(x.sizes));
  const at::Tensor rows = at::arange(x.size(0), at::kLong).unsqueeze(1),
                   columns = at::arange(x.size(1), at::kLong).unsqueeze(0);
  if (std::abs(k) > most_elements)
    corrupt("k = " + std::to_string(k));
  return {columns.sub(rows).eq(k).to(dtype)};
}

// A shape that the data decide, as the list that aten::reshape takes.
Val reshape_to_computed(Node& node, const Val& x, const Val& target) {
  Builder& b = node.builder;
  if (target.rank() != 1 || target.size(0) == unknown || target.size(0) > 16)
    refuse("a shape whose length depends on the data");
  const Val full = b.emit("aten::_reshape_from_tensor", {x, target}, x.dtype,
                          Sizes(static_cast<std::size_t>(target.size(0)), unknown));
  return full;
}

std::vector<Val> reshape(Node& node) {
  const Val& x = node.in(0);
  const Val& target = node.in(1);
  const bool allow_zero = node.flag("allowzero");
  if (!target.is_constant()) {
    if (target.dtype != at::kLong)
      corrupt("the shape must be of int64");
    return {reshape_to_computed(node, x, target)};
  }
  Sizes sizes = node.ints(1);
  std::ptrdiff_t open = -1;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == 0 && !allow_zero) {
      if (static_cast<std::int64_t>(i) >= x.rank())
        corrupt("a shape whose 0 stands for a size that is not there");
      sizes[i] = x.sizes[i];
      if (sizes[i] == unknown) {
        if (open >= 0)
          refuse("two sizes that depend on the data");
        open = static_cast<std::ptrdiff_t>(i);
      }
    } else if (sizes[i] == -1) {
      if (open >= 0)
        corrupt("a shape with two open sizes");
      open = static_cast<std::ptrdiff_t>(i);
    } else if (sizes[i] < 0) {
      corrupt("a shape of " + to_text(sizes));
    }
  }
  if (open >= 0 && x.sizes_known()) {
    sizes[static_cast<std::size_t>(open)] = 1;
    const std::int64_t others = count(sizes), all = count(x.sizes);
    if (others == 0 ? all != 0 : all % others != 0)
      corrupt("the sizes " + to_text(x.sizes) + " cannot become " + to_text(sizes));
    sizes[static_cast<std::size_t>(open)] = others == 0 ? 0 : all / others;
  }
  return {onnx_in::reshape(node.builder, x, std::move(sizes))};
}

std::vector<Val> flatten(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  std::int64_t axis = node.integer("axis", 1);
  if (axis < -x.rank() || axis > x.rank())
    corrupt("axis " + std::to_string(axis));
  if (axis < 0)
    axis += x.rank();
  need_sizes(x, "flattening");
  const Sizes sizes{count(Sizes(x.sizes.begin(), x.sizes.begin() + axis)),
                    count(Sizes(x.sizes.begin() + axis, x.sizes.end()))};
  if (sizes == x.sizes)
    return {x};
  if (axis == 1)
    return {b.emit("aten::flatten", {x, 1, -1}, x.dtype, sizes)};
  return {onnx_in::reshape(b, x, sizes)};
}

std::vector<Val> transpose(Node& node) {
  const Val& x = node.in(0);
  Sizes order;
  for (std::int64_t d = x.rank(); d-- > 0;) order.push_back(d);
  if (const auto given = node.integers("perm")) {
    Sizes sorted = *given;
    std::sort(sorted.begin(), sorted.end());
    std::reverse(order.begin(), order.end());
    if (sorted != order)
      corrupt("perm is no permutation of the dimensions");
    order = *given;
  }
  return {permute(node.builder, x, order)};
}

std::vector<Val> squeeze(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  const auto given = node.attribute_or_input("axes", 1);
  std::vector<bool> gone(x.sizes.size(), false);
  if (given) {
    for (const std::int64_t axis : *given) {
      const auto d = static_cast<std::size_t>(axis_of(axis, x.rank()));
      if (x.sizes[d] != 1)
        corrupt("a dimension of " + std::to_string(x.sizes[d]) + " elements cannot be dropped");
      gone[d] = true;
    }
  } else {
    need_sizes(x, "squeezing");
    for (std::size_t d = 0; d < gone.size(); ++d) gone[d] = x.sizes[d] == 1;
  }
  Val y = x;
  for (std::size_t d = gone.size(); d-- > 0;) {
    if (!gone[d])
      continue;
    Sizes sizes = y.sizes;
    sizes.erase(sizes.begin() + static_cast<std::ptrdiff_t>(d));
    y = b.emit("aten::squeeze", {y, static_cast<std::int64_t>(d)}, x.dtype, std::move(sizes));
  }
  return {y};
}

std::vector<Val> unsqueeze(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  auto axes = node.attribute_or_input("axes", 1);
  if (!axes)
    corrupt("the axes are missing");
  if (axes->size() > 32)
    corrupt("more than 32 axes");
  const std::int64_t rank = x.rank() + static_cast<std::int64_t>(axes->size());
  for (std::int64_t& axis : *axes) axis = axis_of(axis, rank);
  std::sort(axes->begin(), axes->end());
  if (std::adjacent_find(axes->begin(), axes->end()) != axes->end())
    corrupt("an axis is given twice");
  Val y = x;
  for (const std::int64_t axis : *axes) {
    Sizes sizes = y.sizes;
    sizes.insert(sizes.begin() + axis, 1);
    y = b.emit("aten::unsqueeze", {y, axis}, x.dtype, std::move(sizes));
  }
  return {y};
}

std::vector<Val> concat(Node& node) {
  Builder& b = node.builder;
  const Val& first = node.in(0);
  const std::int64_t axis = axis_of(node.integer("axis", 1), first.rank());
  Sizes sizes = first.sizes;
  for (std::size_t i = 1; i < node.input_count(); ++i) {
    const Val& x = node.in(i);
    if (x.rank() != first.rank() || x.dtype != first.dtype)
      corrupt("values of the sizes " + to_text(first.sizes) + " and " + to_text(x.sizes));
    for (std::int64_t d = 0; d < x.rank(); ++d) {
      std::int64_t& size = sizes[static_cast<std::size_t>(d)];
      if (d == axis) {
        size = size == unknown || x.size(d) == unknown ? unknown : size + x.size(d);
      } else if (size == unknown) {
        size = x.size(d);
      } else if (x.size(d) != unknown && x.size(d) != size) {
        corrupt("values of the sizes " + to_text(first.sizes) + " and " + to_text(x.sizes));
      }
    }
  }
  if (node.input_count() == 1)
    return {first};
  return {b.emit("aten::cat", {node.inputs(), axis}, first.dtype, std::move(sizes))};
}

std::vector<Val> split(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  const std::int64_t axis = axis_of(node.integer("axis", 0), x.rank()), whole = x.size(axis);
  if (whole == unknown)
    refuse("a size that depends on the data");
  auto parts = node.attribute_or_input("split", 1);
  if (!parts) {
    // Equal parts, the last smaller where it does not come out even (opset 18).
    const std::int64_t parts_wanted = node.integer("num_outputs", node.proto().output_size());
    if (parts_wanted < 1 || parts_wanted > node.proto().output_size())
      corrupt(std::to_string(parts_wanted) + " outputs");
    const std::int64_t each = (whole + parts_wanted - 1) / parts_wanted;
    parts.emplace(static_cast<std::size_t>(parts_wanted), each);
    parts->back() = whole - each * (parts_wanted - 1);
  }
  std::int64_t begin = 0;
  std::vector<Val> values;
  for (const std::int64_t part : *parts) {
    if (part < 0 || part > whole - begin)
      corrupt("parts that do not make up " + std::to_string(whole));
    values.push_back(slice(b, x, axis, begin, begin + part));
    begin += part;
  }
  if (begin != whole)
    corrupt("parts that do not make up " + std::to_string(whole));
  return values;
}

std::vector<Val> slice(Node& node) {
  Builder& b = node.builder;
  Val x = node.in(0);
  const bool inputs = node.opset >= 10;
  const auto starts = inputs ? node.ints(1) : node.integers("starts").value_or(Sizes());
  const auto ends = inputs ? node.ints(2) : node.integers("ends").value_or(Sizes());
  Sizes axes, steps(starts.size(), 1);
  if (inputs ? node.has(3) : node.has_attribute("axes")) {
    axes = inputs ? node.ints(3) : *node.integers("axes");
  } else {
    axes.resize(starts.size());
    std::iota(axes.begin(), axes.end(), 0);
  }
  if (inputs && node.has(4))
    steps = node.ints(4);
  if (ends.size() != starts.size() || axes.size() != starts.size() || steps.size() != starts.size())
    corrupt("lists of different lengths");
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const std::int64_t axis = axis_of(axes[i], x.rank()), size = x.size(axis);
    std::int64_t start = starts[i], end = ends[i], step = steps[i];
    if (step == 0 || step == std::numeric_limits<std::int64_t>::min())
      corrupt("a step of " + std::to_string(step));
    if (size == unknown) {
      if (step < 0)
        refuse("a negative step over a size that depends on the data");
      Sizes sizes = x.sizes;
      x = b.emit("aten::slice", {x, axis, start, end, step}, x.dtype, sizes);
      continue;
    }
    const auto from_end = [&](std::int64_t at) {
      return at < 0 ? std::max<std::int64_t>(at, -size - 1) + size : at;
    };
    if (step > 0) {
      start = std::clamp<std::int64_t>(from_end(start), 0, size);
      end = std::clamp<std::int64_t>(from_end(end), 0, size);
      x = slice(b, x, axis, start, std::max(start, end),
                std::min(step, std::max<std::int64_t>(size, 1)));
      continue;
    }
    // Backwards: the same elements forwards, turned over.
    start = std::clamp<std::int64_t>(from_end(start), -1, size - 1);
    end = std::clamp<std::int64_t>(from_end(end), -1, size - 1);
    step = std::min(-step, std::max<std::int64_t>(size, 1));
    const std::int64_t places = start <= end ? 0 : (start - end - 1) / step + 1;
    const std::int64_t lowest = places == 0 ? 0 : start - (places - 1) * step;
    x = slice(b, x, axis, lowest, places == 0 ? 0 : start + 1, step);
    if (places > 1)
      x = same(b, "aten::flip", {x, Sizes{axis}}, x);
  }
  return {x};
}

std::vector<Val> expand(Node& node) {
  const Val& x = node.in(0);
  const Sizes wanted = node.ints(1);
  for (const std::int64_t size : wanted) {
    if (size < 0)
      corrupt("a shape of " + to_text(wanted));
  }
  need_sizes(x, "expanding");
  const Sizes sizes = broadcast(x.sizes, wanted);
  if (sizes == x.sizes)
    return {x};
  return {node.builder.emit("aten::expand", {x, sizes}, x.dtype, sizes)};
}

std::vector<Val> tile(Node& node) {
  const Val& x = node.in(0);
  const Sizes times = node.ints(1);
  if (times.size() != x.sizes.size())
    corrupt("repeats for " + std::to_string(times.size()) + " dimensions of " + to_text(x.sizes));
  Sizes sizes = x.sizes;
  bool more = false;
  for (std::size_t d = 0; d < times.size(); ++d) {
    if (times[d] < 0 || times[d] > most_elements)
      corrupt(std::to_string(times[d]) + " repeats");
    more = more || times[d] != 1;
    if (sizes[d] != unknown && __builtin_mul_overflow(sizes[d], times[d], &sizes[d]))
      too_large("its result");
  }
  if (!more)
    return {x};
  return {node.builder.emit("aten::repeat", {x, times}, x.dtype, std::move(sizes))};
}

// Where each place of a padded dimension takes its element from.
Sizes mirrored(std::int64_t size, std::int64_t before, std::int64_t after,
               const std::string& mode) {
  Sizes from;
  for (std::int64_t i = -before; i < size + after; ++i) {
    std::int64_t at = i;
    if (mode == "edge") {
      at = std::clamp<std::int64_t>(i, 0, size - 1);
    } else if (mode == "wrap") {
      at = ((i % size) + size) % size;
    } else if (size == 1) {
      at = 0;
    } else {
      const std::int64_t period = 2 * (size - 1);
      at = ((i % period) + period) % period;
      at = at < size ? at : period - at;
    }
    from.push_back(at);
  }
  return from;
}

std::vector<Val> pad(Node& node) {
  Builder& b = node.builder;
  Val x = node.in(0);
  const std::string mode = node.text("mode", "constant");
  const auto given = node.opset < 11 ? node.integers("pads") : std::optional(node.ints(1));
  Sizes axes(x.sizes.size());
  std::iota(axes.begin(), axes.end(), 0);
  if (node.opset >= 18 && node.has(3)) {
    axes = node.ints(3);
    for (std::int64_t& axis : axes) axis = axis_of(axis, x.rank());
  }
  if (!given || given->size() != 2 * axes.size())
    corrupt("pads that do not fit " + to_text(x.sizes));
  Sizes before(x.sizes.size(), 0), after(x.sizes.size(), 0), sizes = x.sizes;
  bool any = false;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto d = static_cast<std::size_t>(axes[i]);
    before[d] = (*given)[i];
    after[d] = (*given)[i + axes.size()];
    if (std::abs(before[d]) > most_elements || std::abs(after[d]) > most_elements)
      too_large("padding of " + std::to_string(before[d]) + " and " + std::to_string(after[d]));
    any = any || before[d] != 0 || after[d] != 0;
  }
  if (!any)
    return {x};
  for (std::size_t d = 0; d < sizes.size(); ++d) {
    if (sizes[d] == unknown && (before[d] != 0 || after[d] != 0))
      refuse("a size that depends on the data");
    sizes[d] = sizes[d] == unknown ? unknown : sizes[d] + before[d] + after[d];
    if (sizes[d] != unknown && sizes[d] < 0)
      corrupt("padding that takes more than there is");
  }
  if (mode == "constant") {
    double value = 0;
    if (node.opset < 11)
      value = node.real("value", 0);
    else if (node.has(2))
      value = node.number(2);
    Sizes list;
    for (std::size_t d = sizes.size(); d-- > 0;) {
      list.push_back(before[d]);
      list.push_back(after[d]);
    }
    while (list.size() > 2 && list[list.size() - 1] == 0 && list[list.size() - 2] == 0)
      list.resize(list.size() - 2);
    const Arg number = x.is_floating()        ? Arg(value)
                       : x.dtype == at::kBool ? Arg(value != 0)
                                              : Arg(static_cast<std::int64_t>(value));
    return {b.emit("aten::constant_pad_nd", {x, list, number}, x.dtype, std::move(sizes))};
  }
  if (mode != "reflect" && mode != "edge" && !(mode == "wrap" && node.opset >= 19))
    corrupt("mode = '" + mode + "'");
  // The form that ATen has an operator for: images, padded by less than their size.
  if (x.rank() == 4 && before[0] == 0 && after[0] == 0 && before[1] == 0 && after[1] == 0 &&
      mode != "wrap" && x.is_floating()) {
    const Sizes list{before[3], after[3], before[2], after[2]};
    bool fits = true;
    for (std::size_t i = 0; i < 4; ++i) {
      const std::int64_t size = x.sizes[i < 2 ? 3 : 2];
      fits = fits && list[i] >= 0 && size > 0 && (mode == "edge" || list[i] < size);
    }
    if (fits)
      return {b.emit(mode == "edge" ? "aten::replication_pad2d" : "aten::reflection_pad2d",
                     {x, list}, x.dtype, std::move(sizes))};
  }
  for (std::size_t d = 0; d < sizes.size(); ++d) {
    if (before[d] == 0 && after[d] == 0)
      continue;
    if (x.sizes[d] == 0)
      corrupt("padding of nothing by its own elements");
    Sizes padded = x.sizes;
    padded[d] = sizes[d];
    count_one(padded);
    b.count_folded(sizes[d]);
    x = pick(b, x, static_cast<std::int64_t>(d), mirrored(x.sizes[d], before[d], after[d], mode));
  }
  return {x};
}

std::vector<Val> depth_to_space(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  const std::int64_t s = node.integer("blocksize", 0);
  const std::string mode = node.text("mode", "DCR");
  need_sizes(x, "DepthToSpace");
  if (x.rank() != 4 || s < 1 || s > (1 << 15) || x.size(1) % (s * s) != 0)
    corrupt("blocks of " + std::to_string(s) + " in " + to_text(x.sizes));
  if (mode != "DCR" && mode != "CRD")
    corrupt("mode = '" + mode + "'");
  const std::int64_t n = x.size(0), c = x.size(1) / (s * s), h = x.size(2), w = x.size(3);
  const Sizes sizes{n, c, h * s, w * s};
  if (mode == "CRD")
    return {b.emit("aten::pixel_shuffle", {x, s}, x.dtype, sizes)};
  Val y = onnx_in::reshape(b, x, {n, s, s, c, h, w});
  y = permute(b, y, {0, 3, 4, 1, 5, 2});
  return {onnx_in::reshape(b, y, sizes)};
}

std::vector<Val> space_to_depth(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  const std::int64_t s = node.integer("blocksize", 0);
  need_sizes(x, "SpaceToDepth");
  if (x.rank() != 4 || s < 1 || s > (1 << 15) || x.size(2) % s != 0 || x.size(3) % s != 0)
    corrupt("blocks of " + std::to_string(s) + " in " + to_text(x.sizes));
  const std::int64_t n = x.size(0), c = x.size(1), h = x.size(2) / s, w = x.size(3) / s;
  Val y = onnx_in::reshape(b, x, {n, c, h, s, w, s});
  y = permute(b, y, {0, 3, 5, 1, 2, 4});
  return {onnx_in::reshape(b, y, {n, c * s * s, h, w})};
}

std::vector<Val> trilu(Node& node) {
  const Val& x = node.in(0);
  if (x.rank() < 2)
    corrupt("a value of the sizes " + to_text(x.sizes));
  const auto k = node.has(1) ? static_cast<std::int64_t>(node.number(1)) : 0;
  return {same(node.builder, node.flag("upper", true) ? "aten::triu" : "aten::tril", {x, k}, x)};
}

constexpr std::array table{
    Operator{"Concat", 4, concat, ""},
    Operator{"Constant", 1, constant, "dense numbers only"},
    Operator{"ConstantOfShape", 9, constant_of_shape, "constant shape"},
    Operator{"DepthToSpace", 1, depth_to_space, ""},
    Operator{"Expand", 8, expand, "constant shape"},
    Operator{"EyeLike", 9, eye_like, ""},
    Operator{"Flatten", 1, flatten, ""},
    Operator{"Pad", 2, pad, "constant pads and value"},
    Operator{"Range", 11, range, "constant bounds"},
    Operator{"Reshape", 5, reshape, ""},
    Operator{"Shape", 1, shape, ""},
    Operator{"Size", 1, size, ""},
    Operator{"Slice", 1, slice, "constant bounds"},
    Operator{"SpaceToDepth", 1, space_to_depth, ""},
    Operator{"Split", 2, split, "constant parts"},
    Operator{"Squeeze", 1, squeeze, "constant axes"},
    Operator{"Tile", 6, tile, "constant repeats"},
    Operator{"Transpose", 1, transpose, ""},
    Operator{"Trilu", 14, trilu, "constant k"},
    Operator{"Unsqueeze", 1, unsqueeze, "constant axes"},
};

}  // namespace

std::span<const Operator> shaping_operators() {
  return table;
}

}  // namespace cleave::inline v0::model::onnx_in
