// ONNX operators with weights or windows: convolution, pooling, matrix products.
#include "lib/model/onnx_node.hpp"

#include <algorithm>
#include <array>
#include <limits>

namespace cleave::inline v0::model::onnx_in {
namespace {

// The window of a convolution or pooling, with its padding worked out for the sizes at hand.
struct Window {
  Sizes kernel, strides, dilations, before, after;  // one per spatial dimension
  [[nodiscard]] std::size_t dims() const { return kernel.size(); }
  /// How far a window reaches.
  [[nodiscard]] std::int64_t extent(std::size_t d) const {
    return (kernel[d] - 1) * dilations[d] + 1;
  }
  [[nodiscard]] bool symmetric() const { return before == after; }
  [[nodiscard]] bool padded() const {
    return std::any_of(before.begin(), before.end(), [](auto n) { return n != 0; }) ||
           std::any_of(after.begin(), after.end(), [](auto n) { return n != 0; });
  }
};

Window read_window(Node& node, const Val& x, Sizes kernel) {
  const auto dims = static_cast<std::int64_t>(kernel.size());
  Window w;
  w.kernel = per_dim(std::move(kernel), dims, 1, "kernel_shape", 1);
  w.strides = per_dim(node.integers("strides"), dims, 1, "strides", 1);
  w.dilations = per_dim(node.integers("dilations"), dims, 1, "dilations", 1);
  const Sizes pads = per_dim(node.integers("pads"), 2 * dims, 0, "pads", 0);
  const std::string automatic = node.text("auto_pad", "NOTSET");
  for (std::int64_t d = 0; d < dims; ++d) {
    const auto i = static_cast<std::size_t>(d);
    if (w.extent(i) > (std::int64_t{1} << 40))
      corrupt("its window is too large");
    if (automatic == "NOTSET" || automatic.empty()) {
      w.before.push_back(pads[i]);
      w.after.push_back(pads[static_cast<std::size_t>(d + dims)]);
    } else if (automatic == "VALID") {
      w.before.push_back(0);
      w.after.push_back(0);
    } else if (automatic == "SAME_UPPER" || automatic == "SAME_LOWER") {
      const std::int64_t size = x.size(d + 2);
      if (size == unknown)
        refuse("auto_pad for a size that depends on the data");
      const std::int64_t out = (size + w.strides[i] - 1) / w.strides[i];
      const std::int64_t total =
          std::max<std::int64_t>(0, (out - 1) * w.strides[i] + w.extent(i) - size);
      const std::int64_t half = total / 2;
      w.before.push_back(automatic == "SAME_UPPER" ? half : total - half);
      w.after.push_back(total - w.before.back());
    } else {
      corrupt("auto_pad = '" + automatic + "'");
    }
  }
  return w;
}

// How many windows fit.
std::int64_t windows(std::int64_t size, const Window& w, std::size_t d) {
  if (size == unknown)
    return unknown;
  const std::int64_t room = size + w.before[d] + w.after[d] - w.extent(d);
  if (room < 0)
    corrupt("its window is larger than what it slides over, " + std::to_string(size));
  return room / w.strides[d] + 1;
}

// Padding of the spatial dimensions, as aten::constant_pad_nd takes it: the last dimension first.
Val pad_with(Builder& b, const Val& x, const Sizes& before, const Sizes& after, double value) {
  Sizes list, sizes = x.sizes;
  for (std::size_t d = before.size(); d-- > 0;) {
    list.push_back(before[d]);
    list.push_back(after[d]);
    std::int64_t& size = sizes[d + 2];
    if (size != unknown)
      size += before[d] + after[d];
  }
  const Arg number = x.is_floating() ? Arg(value) : Arg(static_cast<std::int64_t>(value));
  return b.emit("aten::constant_pad_nd", {x, list, number}, x.dtype, std::move(sizes));
}

void check_spatial(const Val& x, std::size_t most = 3) {
  if (x.rank() < 3 || x.rank() > static_cast<std::int64_t>(most) + 2)
    refuse("a value of " + std::to_string(x.rank()) + " dimensions");
}

const char* by_dims(std::size_t dims, std::array<const char*, 3> names) {
  return names.at(dims - 1);
}

std::vector<Val> conv(Node& node) {
  Builder& b = node.builder;
  Val x = node.in(0);
  const Val &weight = node.in(1), &bias = node.maybe(2);
  check_spatial(x);
  if (weight.rank() != x.rank() || !weight.sizes_known())
    corrupt("weights of the sizes " + to_text(weight.sizes) + " for " + to_text(x.sizes));
  const std::int64_t groups = node.integer("group", 1);
  const std::int64_t channels = weight.size(0);
  if (groups < 1 || channels % groups != 0 || channels < 1 ||
      (x.size(1) != unknown && x.size(1) / groups != weight.size(1)) ||
      (x.size(1) != unknown && x.size(1) % groups != 0))
    corrupt("weights of the sizes " + to_text(weight.sizes) + " in " + std::to_string(groups) +
            " groups for " + to_text(x.sizes));
  if (bias.present() && (bias.rank() != 1 || bias.size(0) != channels))
    corrupt("a bias of the sizes " + to_text(bias.sizes));
  const Sizes kernel(weight.sizes.begin() + 2, weight.sizes.end());
  if (const auto given = node.integers("kernel_shape"); given && *given != kernel)
    corrupt("kernel_shape differs from the weights");
  Window w = read_window(node, x, kernel);
  Sizes sizes{x.size(0), channels};
  for (std::size_t d = 0; d < w.dims(); ++d)
    sizes.push_back(windows(x.size(static_cast<std::int64_t>(d) + 2), w, d));
  if (!w.symmetric()) {
    x = pad_with(b, x, w.before, w.after, 0);
    w.before.assign(w.dims(), 0);
  }
  const std::int64_t elements = count(sizes);
  std::int64_t work = 0;
  if (__builtin_mul_overflow(elements, count(weight.sizes) / channels, &work))
    too_large("its arithmetic");
  return {b.emit(by_dims(w.dims(), {"aten::conv1d", "aten::conv2d", "aten::conv3d"}),
                 {x, weight, bias, w.strides, w.before, w.dilations, groups}, x.dtype,
                 std::move(sizes), work)};
}

std::vector<Val> conv_transpose(Node& node) {
  Builder& b = node.builder;
  const Val &x = node.in(0), &weight = node.in(1), &bias = node.maybe(2);
  check_spatial(x);
  need_sizes(x, "the transposed convolution");
  if (weight.rank() != x.rank() || !weight.sizes_known() || weight.size(0) != x.size(1))
    corrupt("weights of the sizes " + to_text(weight.sizes) + " for " + to_text(x.sizes));
  const auto dims = x.rank() - 2;
  const std::int64_t groups = node.integer("group", 1);
  if (groups < 1 || x.size(1) % groups != 0 || weight.size(1) > (std::int64_t{1} << 40) / groups)
    corrupt(std::to_string(groups) + " groups");
  const std::int64_t channels = weight.size(1) * groups;
  if (bias.present() && (bias.rank() != 1 || bias.size(0) != channels))
    corrupt("a bias of the sizes " + to_text(bias.sizes));
  const Sizes kernel(weight.sizes.begin() + 2, weight.sizes.end());
  const Sizes strides = per_dim(node.integers("strides"), dims, 1, "strides", 1);
  const Sizes dilations = per_dim(node.integers("dilations"), dims, 1, "dilations", 1);
  Sizes extra = per_dim(node.integers("output_padding"), dims, 0, "output_padding", 0);
  Sizes pads = per_dim(node.integers("pads"), 2 * dims, 0, "pads", 0);
  const std::string automatic = node.text("auto_pad", "NOTSET");
  auto wanted = node.integers("output_shape");
  if (wanted && static_cast<std::int64_t>(wanted->size()) == dims + 2)
    wanted->erase(wanted->begin(), wanted->begin() + 2);
  if (wanted)
    wanted = per_dim(wanted, dims, 0, "output_shape", 1);
  Sizes full{x.size(0), channels}, sizes = full;  // without and with the padding cut off
  bool symmetric = true;
  for (std::int64_t d = 0; d < dims; ++d) {
    const auto i = static_cast<std::size_t>(d);
    if (extra[i] >= std::max(strides[i], dilations[i]) && extra[i] > 0)
      refuse("output_padding that is not below the stride");
    const std::int64_t whole =
        (x.size(d + 2) - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1;
    std::int64_t& before = pads[i];
    std::int64_t& after = pads[i + static_cast<std::size_t>(dims)];
    if (wanted || automatic == "SAME_UPPER" || automatic == "SAME_LOWER") {
      const std::int64_t out = wanted ? (*wanted)[i] : x.size(d + 2) * strides[i];
      const std::int64_t total = whole + extra[i] - out;
      if (total < 0)
        refuse("output_shape that is larger than the windows reach");
      const std::int64_t half = total / 2;
      // As the reference has it: the odd one goes to the end for SAME_UPPER only.
      before = automatic == "SAME_UPPER" ? half : total - half;
      after = total - before;
    } else if (automatic == "VALID") {
      before = after = 0;
    } else if (automatic != "NOTSET" && !automatic.empty()) {
      corrupt("auto_pad = '" + automatic + "'");
    }
    symmetric = symmetric && before == after;
    full.push_back(whole + extra[i]);
    sizes.push_back(whole + extra[i] - before - after);
    if (sizes.back() < 1)
      corrupt("its padding leaves nothing");
  }
  std::int64_t work = 0;
  if (__builtin_mul_overflow(
          count(x.sizes), count(weight.sizes) / std::max<std::int64_t>(1, weight.size(0)), &work))
    too_large("its arithmetic");
  const char* op =
      by_dims(static_cast<std::size_t>(dims),
              {"aten::conv_transpose1d", "aten::conv_transpose2d", "aten::conv_transpose3d"});
  const Sizes before(pads.begin(), pads.begin() + dims);
  if (symmetric)
    return {b.emit(op, {x, weight, bias, strides, before, extra, groups, dilations}, x.dtype,
                   std::move(sizes), work)};
  Val y = b.emit(op,
                 {x, weight, bias, strides, Sizes(static_cast<std::size_t>(dims), 0), extra, groups,
                  dilations},
                 x.dtype, std::move(full), work);
  for (std::int64_t d = 0; d < dims; ++d) {
    const std::int64_t begin = before[static_cast<std::size_t>(d)];
    y = slice(b, y, d + 2, begin, begin + sizes[static_cast<std::size_t>(d) + 2]);
  }
  return {y};
}

// A pooling's windows: with ceil_mode the last may reach over the end, but none begins behind it.
struct Pool {
  Window window;
  Sizes sizes;        ///< of the result
  Sizes reach;        ///< how much the last window needs behind the data
  bool plain = true;  ///< ATen's own padding does, without ceil_mode
};

Pool read_pool(Node& node, const Val& x) {
  check_spatial(x);
  need_sizes(x, "pooling");
  const auto kernel = node.integers("kernel_shape");
  if (!kernel)
    corrupt("kernel_shape is missing");
  if (static_cast<std::int64_t>(kernel->size()) != x.rank() - 2)
    corrupt("kernel_shape does not fit " + to_text(x.sizes));
  Pool pool;
  pool.window = read_window(node, x, *kernel);
  const Window& w = pool.window;
  const bool ceil_mode = node.flag("ceil_mode");
  pool.sizes = {x.size(0), x.size(1)};
  for (std::size_t d = 0; d < w.dims(); ++d) {
    const std::int64_t size = x.size(static_cast<std::int64_t>(d) + 2);
    const std::int64_t room = size + w.before[d] + w.after[d] - w.extent(d);
    if (room < 0 && !(ceil_mode && size > 0))
      corrupt("its window is larger than what it slides over");
    std::int64_t out = room < 0 ? 1 : room / w.strides[d] + 1;
    if (ceil_mode && room > 0 && room % w.strides[d] != 0 &&
        out * w.strides[d] < size + w.before[d])
      ++out;
    pool.sizes.push_back(out);
    const std::int64_t needed = (out - 1) * w.strides[d] + w.extent(d) - w.before[d] - size;
    pool.reach.push_back(std::max<std::int64_t>(0, needed));
    pool.plain = pool.plain && needed <= w.after[d] && w.before[d] <= w.kernel[d] / 2;
  }
  pool.plain = pool.plain && w.symmetric();
  return pool;
}

std::int64_t pool_work(const Pool& pool) {
  std::int64_t work = 0;
  if (__builtin_mul_overflow(count(pool.sizes), count(pool.window.kernel), &work))
    too_large("its arithmetic");
  return work;
}

std::vector<Val> max_pool(Node& node) {
  Builder& b = node.builder;
  Val x = node.in(0);
  if (!x.is_floating())
    refuse(std::string("pooling of ") + c10::toString(x.dtype));
  Pool pool = read_pool(node, x);
  Sizes padding = pool.window.before;
  if (!pool.plain) {
    x = pad_with(b, x, pool.window.before, pool.reach, -std::numeric_limits<double>::infinity());
    padding.assign(pool.window.dims(), 0);
  }
  return {b.emit(
      by_dims(pool.window.dims(), {"aten::max_pool1d", "aten::max_pool2d", "aten::max_pool3d"}),
      {x, pool.window.kernel, pool.window.strides, padding, pool.window.dilations, false}, x.dtype,
      pool.sizes, pool_work(pool))};
}

// Of each window along one dimension, how many of its places count.
at::Tensor counted(const Pool& pool, std::size_t d, std::int64_t size, bool with_padding) {
  const Window& w = pool.window;
  const std::int64_t out = pool.sizes[d + 2];
  at::Tensor counts = at::empty({out}, at::kDouble);
  const std::int64_t first = with_padding ? -w.before[d] : 0;
  const std::int64_t last = with_padding ? size + w.after[d] : size;
  for (std::int64_t i = 0; i < out; ++i) {
    const std::int64_t begin = i * w.strides[d] - w.before[d];
    const std::int64_t end = begin + w.kernel[d];
    counts.data_ptr<double>()[i] = static_cast<double>(
        std::max<std::int64_t>(0, std::min(end, last) - std::max(begin, first)));
  }
  return counts;
}

// The sum of each window over its kernel's size: an average that counts every place.
Val window_mean(Builder& b, const Val& x, const Pool& pool) {
  const Val padded = pad_with(b, x, pool.window.before, pool.reach, 0);
  const Sizes none(pool.window.dims(), 0);
  Args args{padded, pool.window.kernel, pool.window.strides, none, false, true};
  if (pool.window.dims() > 1)
    args.emplace_back(std::nullopt);
  return b.emit(
      by_dims(pool.window.dims(), {"aten::avg_pool1d", "aten::avg_pool2d", "aten::avg_pool3d"}),
      args, x.dtype, pool.sizes, pool_work(pool));
}

void no_dilations(const Pool& pool) {
  for (const std::int64_t dilation : pool.window.dilations) {
    if (dilation != 1)
      refuse("dilations");
  }
}

std::vector<Val> average_pool(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  const Pool pool = read_pool(node, x);
  no_dilations(pool);
  const Window& w = pool.window;
  const bool with_padding = node.flag("count_include_pad");
  if (pool.plain) {
    Args args{x, w.kernel, w.strides, w.before, false, with_padding};
    if (w.dims() > 1)
      args.emplace_back(std::nullopt);
    return {b.emit(by_dims(w.dims(), {"aten::avg_pool1d", "aten::avg_pool2d", "aten::avg_pool3d"}),
                   args, x.dtype, pool.sizes, pool_work(pool))};
  }
  // The mean over the kernel, scaled to a mean over the places that count.
  at::Tensor factor = at::ones({}, at::kDouble);
  for (std::size_t d = 0; d < w.dims(); ++d) {
    const at::Tensor counts =
        counted(pool, d, x.size(static_cast<std::int64_t>(d) + 2), with_padding);
    factor = factor.unsqueeze(-1) * (static_cast<double>(w.kernel[d]) / counts);
    b.count_folded(factor.numel());
  }
  return {binary(b, "aten::mul", window_mean(b, x, pool), factor.to(x.dtype))};
}

Val root(Builder& b, const Val& x, double p) {
  return p == 1 ? x : same(b, "aten::pow", {x, 1 / p}, x);
}
Val power(Builder& b, const Val& x, double p) {
  const Val size = same(b, "aten::abs", {x}, x);
  return p == 1 ? size : same(b, "aten::pow", {size, p}, x);
}

std::vector<Val> lp_pool(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  const Pool pool = read_pool(node, x);
  no_dilations(pool);
  const auto p = static_cast<double>(node.integer("p", 2));
  if (p < 1)
    corrupt("p = " + std::to_string(p));
  const Val mean = window_mean(b, power(b, x, p), pool);
  const auto places = static_cast<double>(count(pool.window.kernel));
  return {root(b, same(b, "aten::mul", {mean, places}, mean), p)};
}

Sizes spatial_dims(const Val& x) {
  if (x.rank() < 3)
    corrupt("a value of " + std::to_string(x.rank()) + " dimensions");
  Sizes dims;
  for (std::int64_t d = 2; d < x.rank(); ++d) dims.push_back(d);
  return dims;
}

Sizes pooled_to_one(const Val& x) {
  Sizes sizes = x.sizes;
  std::fill(sizes.begin() + 2, sizes.end(), 1);
  return sizes;
}

std::vector<Val> global_average_pool(Node& node) {
  const Val& x = node.in(0);
  const Sizes dims = spatial_dims(x);
  if (x.rank() == 4)
    return {node.builder.emit("aten::adaptive_avg_pool2d", {x, Sizes{1, 1}}, x.dtype,
                              pooled_to_one(x), count(x.sizes))};
  return {
      node.builder.emit("aten::mean", {x, dims, true}, x.dtype, pooled_to_one(x), count(x.sizes))};
}

std::vector<Val> global_max_pool(Node& node) {
  const Val& x = node.in(0);
  return {node.builder.emit("aten::amax", {x, spatial_dims(x), true}, x.dtype, pooled_to_one(x),
                            count(x.sizes))};
}

std::vector<Val> global_lp_pool(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  const auto p = static_cast<double>(node.integer("p", 2));
  if (p < 1)
    corrupt("p = " + std::to_string(p));
  const Val sum = b.emit("aten::sum", {power(b, x, p), spatial_dims(x), true}, x.dtype,
                         pooled_to_one(x), count(x.sizes));
  return {root(b, sum, p)};
}

void matrix(const Val& x) {
  if (x.rank() != 2)
    corrupt("a matrix of the sizes " + to_text(x.sizes));
}

std::int64_t product_work(const Sizes& result, std::int64_t inner) {
  std::int64_t work = 0;
  if (__builtin_mul_overflow(count(result), std::max<std::int64_t>(inner, 1), &work))
    too_large("its arithmetic");
  return work;
}

void same_inner(std::int64_t a, std::int64_t b) {
  if (a != b && a != unknown && b != unknown)
    corrupt("matrices of " + std::to_string(a) + " columns and " + std::to_string(b) + " rows");
}

Val transposed(Builder& b, const Val& x) {
  return b.emit("aten::transpose", {x, 0, 1}, x.dtype, {x.size(1), x.size(0)});
}

// alpha * A * B + beta * C; with constant B and C a linear layer.
std::vector<Val> gemm(Node& node) {
  Builder& b = node.builder;
  Val a = node.in(0), weight = node.in(1);
  Val c = node.maybe(2);
  matrix(a);
  matrix(weight);
  const double alpha = node.real("alpha", 1), beta = node.real("beta", 1);
  const bool trans_a = node.flag("transA"), trans_b = node.flag("transB");
  if (trans_a)
    a = transposed(b, a);
  const std::int64_t inner = weight.size(trans_b ? 1 : 0), columns = weight.size(trans_b ? 0 : 1);
  same_inner(a.size(1), inner);
  const Sizes sizes{a.size(0), columns};
  if (c.present() && broadcast(sizes, c.sizes) != sizes)
    corrupt("C of the sizes " + to_text(c.sizes) + " for a result of " + to_text(sizes));
  if (c.present() && beta == 0)
    c = Val();
  if (weight.is_constant() && a.is_floating()) {
    at::Tensor matrix = trans_b ? weight.constant : b.transposed(weight.constant);
    if (alpha != 1) {
      b.count_folded(matrix.numel());
      matrix = matrix * alpha;
    }
    // A bias is one number a column.
    Val bias;
    if (c.is_constant() && c.constant.numel() == columns &&
        (c.rank() == 0 || c.size(c.rank() - 1) == columns)) {
      bias = beta == 1 ? c.constant.reshape({columns}) : c.constant.reshape({columns}) * beta;
      c = Val();
    }
    Val y = b.emit("aten::linear", {a, matrix, bias}, a.dtype, sizes, product_work(sizes, inner));
    if (c.present()) {
      if (beta != 1)
        c = same(b, "aten::mul", {c, beta}, c);
      y = binary(b, "aten::add", y, c);
    }
    return {y};
  }
  if (trans_b)
    weight = transposed(b, weight);
  Val y = b.emit("aten::mm", {a, weight}, a.dtype, sizes, product_work(sizes, inner));
  const auto scaled = [&](const Val& x, double factor) {
    if (factor == 1)
      return x;
    return x.is_floating()
               ? same(b, "aten::mul", {x, factor}, x)
               : cast(b,
                      b.emit("aten::mul", {cast(b, x, at::kDouble), factor}, at::kDouble, x.sizes),
                      x.dtype);
  };
  y = scaled(y, alpha);
  return {c.present() ? binary(b, "aten::add", y, scaled(c, beta)) : y};
}

Sizes product_sizes(const Val& x, const Val& y) {
  if (x.rank() == 0 || y.rank() == 0)
    corrupt("a product with a scalar");
  Sizes a = x.sizes, b = y.sizes;
  if (a.size() == 1)
    a.insert(a.begin(), 1);
  if (b.size() == 1)
    b.push_back(1);
  same_inner(a.back(), b[b.size() - 2]);
  Sizes sizes = broadcast(Sizes(a.begin(), a.end() - 2), Sizes(b.begin(), b.end() - 2));
  if (x.rank() > 1)
    sizes.push_back(a[a.size() - 2]);
  if (y.rank() > 1)
    sizes.push_back(b.back());
  return sizes;
}

std::vector<Val> mat_mul(Node& node) {
  Builder& b = node.builder;
  const Val &x = node.in(0), &y = node.in(1);
  if (x.dtype != y.dtype)
    corrupt("two element types");
  const Sizes sizes = product_sizes(x, y);
  const std::int64_t work = product_work(sizes, x.size(x.rank() - 1));
  if (y.is_constant() && !x.is_constant() && y.rank() == 2 && x.rank() >= 2 && x.is_floating()) {
    return {
        b.emit("aten::linear", {x, b.transposed(y.constant), std::nullopt}, x.dtype, sizes, work)};
  }
  return {b.emit("aten::matmul", {x, y}, x.dtype, sizes, work)};
}

std::vector<Val> dropout(Node& node) {
  // A model whose code never asks for evaluation drops nothing with a ratio of 0.
  if (node.has(2) && node.number(2) != 0 && (!node.has(1) || node.number(1) != 0))
    refuse("training mode");
  return {node.in(0)};
}

// The sum of products that an equation names, "bij,bjk->bik".
std::vector<Val> einsum(Node& node) {
  Builder& b = node.builder;
  std::string equation = node.text("equation", "");
  std::erase(equation, ' ');
  if (equation.empty() || equation.size() > 256)
    corrupt("the equation is missing");
  if (equation.find("...") != std::string::npos)
    refuse("'...' in the equation");
  const auto arrow = equation.find("->");
  const std::string left = equation.substr(0, arrow);
  std::array<std::int64_t, 128> size_of{};
  std::array<int, 128> seen{};
  size_of.fill(0);
  std::size_t operand = 0, place = 0;
  for (std::size_t i = 0; i <= left.size(); ++i) {
    if (i == left.size() || left[i] == ',') {
      if (static_cast<std::int64_t>(place) != node.in(operand).rank())
        corrupt("the equation does not fit its operands");
      ++operand;
      place = 0;
      continue;
    }
    const char label = left[i];
    if (!((label >= 'a' && label <= 'z') || (label >= 'A' && label <= 'Z')))
      corrupt("the equation '" + equation + "'");
    const Val& x = node.in(operand);
    need_sizes(x, "einsum");
    if (static_cast<std::int64_t>(place) >= x.rank())
      corrupt("the equation does not fit its operands");
    const std::int64_t size = x.size(static_cast<std::int64_t>(place++));
    auto& known = size_of[static_cast<std::size_t>(label)];
    if (seen[static_cast<std::size_t>(label)]++ == 0 || known == 1)
      known = size;
    else if (size != 1 && size != known)
      corrupt("the operands' sizes do not fit the equation '" + equation + "'");
  }
  if (operand != node.input_count())
    corrupt("the equation does not fit its operands");
  std::string right;
  if (arrow != std::string::npos) {
    right = equation.substr(arrow + 2);
  } else {
    for (char label = 'A'; label <= 'z'; ++label) {
      if (seen[static_cast<std::size_t>(label)] == 1)
        right += label;
    }
  }
  Sizes sizes, all;
  for (const char label : right) {
    if (label < 0 || seen[static_cast<std::size_t>(label)] == 0)
      corrupt("the equation '" + equation + "'");
    sizes.push_back(size_of[static_cast<std::size_t>(label)]);
  }
  for (std::size_t label = 0; label < seen.size(); ++label) {
    if (seen[label] > 0)
      all.push_back(size_of[label]);
  }
  // Operands are multiplied one after the other: no value on the way is larger than all labels.
  const std::int64_t work = count(all);
  if (node.input_count() > 2 && work > most_elements)
    too_large("what it multiplies");
  const at::ScalarType dtype = node.in(0).dtype;
  return {b.emit("aten::einsum", {equation.c_str(), node.inputs()}, dtype, std::move(sizes), work)};
}

constexpr std::array table{
    Operator{"AveragePool", 7, average_pool, "no dilations; up to 3 spatial dimensions"},
    Operator{"Conv", 1, conv, "up to 3 spatial dimensions"},
    Operator{"ConvTranspose", 1, conv_transpose,
             "up to 3 spatial dimensions; output_padding below the stride"},
    Operator{"Dropout", 7, dropout, "evaluation only, without the mask"},
    Operator{"Einsum", 12, einsum, "no '...'"},
    Operator{"Gemm", 7, gemm, ""},
    Operator{"GlobalAveragePool", 1, global_average_pool, ""},
    Operator{"GlobalLpPool", 2, global_lp_pool, ""},
    Operator{"GlobalMaxPool", 1, global_max_pool, ""},
    Operator{"LpPool", 2, lp_pool, "no dilations"},
    Operator{"MatMul", 1, mat_mul, ""},
    Operator{"MaxPool", 8, max_pool,
             "floating point, without the indices; up to 3 spatial dimensions"},
};

}  // namespace

std::span<const Operator> layer_operators() {
  return table;
}

}  // namespace cleave::inline v0::model::onnx_in
