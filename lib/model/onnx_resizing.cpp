// ONNX's Resize and its ancestor Upsample. What ATen has an operator for becomes that one; any
// other way to place and weight the samples becomes, dimension by dimension, a choice of elements
// or a product with the matrix of weights.
#include "lib/model/onnx_node.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace cleave::inline v0::model::onnx_in {
namespace {

struct Plan {
  std::string mode, coordinates, nearest;
  double cubic = -0.75;
  bool exclude_outside = false;
};

struct Dim {
  std::int64_t in = 0, out = 0;
  double scale = 1;
};

// Where a place of the result lies in the data.
double source(const Plan& plan, const Dim& d, std::int64_t place) {
  const auto x = static_cast<double>(place);
  const auto in = static_cast<double>(d.in), out = static_cast<double>(d.out);
  if (plan.coordinates == "half_pixel")
    return (x + 0.5) / d.scale - 0.5;
  if (plan.coordinates == "pytorch_half_pixel")
    return d.out > 1 ? (x + 0.5) / d.scale - 0.5 : 0;
  if (plan.coordinates == "align_corners")
    return d.out > 1 ? x * (in - 1) / (out - 1) : 0;
  if (plan.coordinates == "asymmetric")
    return x / d.scale;
  if (plan.coordinates == "half_pixel_symmetric") {
    const double adjusted = out / (d.scale * in);
    return in / 2 * (1 - adjusted) + (x + 0.5) / d.scale - 0.5;
  }
  refuse("coordinate_transformation_mode = '" + plan.coordinates + "'");
}

std::int64_t nearest(const Plan& plan, double at, double scale) {
  double chosen = 0;
  if (plan.nearest == "floor")
    chosen = std::floor(at);
  else if (plan.nearest == "ceil")
    chosen = std::ceil(at);
  else if (plan.nearest == "before opset 11")  // which left it open; as ONNX Runtime does
    chosen = scale < 1 ? std::ceil(at) : std::floor(at);
  else if (plan.nearest == "round_prefer_floor")
    chosen = at == std::floor(at) + 0.5 ? std::floor(at) : std::round(at);
  else if (plan.nearest == "round_prefer_ceil")
    chosen = std::floor(at + 0.5);
  else
    corrupt("nearest_mode = '" + plan.nearest + "'");
  return static_cast<std::int64_t>(chosen);
}

Sizes nearest_places(const Plan& plan, const Dim& d) {
  Sizes places;
  for (std::int64_t i = 0; i < d.out; ++i)
    places.push_back(
        std::clamp<std::int64_t>(nearest(plan, source(plan, d, i), d.scale), 0, d.in - 1));
  return places;
}

// Keys, "Cubic convolution interpolation for digital image processing", 1981.
double cubic_weight(double x, double a) {
  x = std::abs(x);
  if (x <= 1)
    return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

// [out, in]: how much of each element each place of the result holds.
at::Tensor weights(Builder& b, const Plan& plan, const Dim& d) {
  std::int64_t elements = 0;
  if (__builtin_mul_overflow(d.in, d.out, &elements))
    too_large("its matrix of weights");
  b.count_folded(elements);
  at::Tensor matrix = at::zeros({d.out, d.in}, at::kDouble);
  auto* const all = matrix.data_ptr<double>();
  const bool linear = plan.mode == "linear";
  const double reach = linear ? 1 : 2;
  for (std::int64_t i = 0; i < d.out; ++i) {
    double* const row = all + i * d.in;
    double at = source(plan, d, i);
    if (linear)
      at = std::clamp(at, 0.0, static_cast<double>(d.in - 1));
    const auto first = static_cast<std::int64_t>(std::floor(at - reach)),
               last = static_cast<std::int64_t>(std::ceil(at + reach));
    double sum = 0;
    for (std::int64_t j = first; j <= last; ++j) {
      const double distance = static_cast<double>(j) - at;
      const double weight =
          linear ? std::max(0.0, 1 - std::abs(distance)) : cubic_weight(distance, plan.cubic);
      const bool outside = j < 0 || j >= d.in;
      if (weight == 0 || (outside && plan.exclude_outside))
        continue;
      row[std::clamp<std::int64_t>(j, 0, d.in - 1)] += weight;
      sum += weight;
    }
    for (std::int64_t j = 0; j < d.in && sum != 0; ++j) row[j] /= sum;
  }
  return matrix;
}

Val by_matrix(Builder& b, const Val& x, std::int64_t dim, const at::Tensor& matrix) {
  const std::int64_t last = x.rank() - 1;
  Sizes sizes = x.sizes;
  std::swap(sizes[static_cast<std::size_t>(dim)], sizes[static_cast<std::size_t>(last)]);
  Val y = x;
  if (dim != last)
    y = b.emit("aten::transpose", {y, dim, last}, x.dtype, sizes);
  sizes[static_cast<std::size_t>(last)] = matrix.size(0);
  std::int64_t work = 0;
  if (__builtin_mul_overflow(count(sizes), matrix.size(1), &work))
    too_large("its arithmetic");
  y = b.emit("aten::linear", {y, matrix.to(x.dtype), std::nullopt}, x.dtype, sizes, work);
  if (dim == last)
    return y;
  std::swap(sizes[static_cast<std::size_t>(dim)], sizes[static_cast<std::size_t>(last)]);
  return b.emit("aten::transpose", {y, dim, last}, x.dtype, sizes);
}

// Whether ATen's nearest neighbour takes the same elements: in = floor(out * in_size / out_size),
// or by the given scale.
bool as_aten_nearest(const Sizes& places, const Dim& d, bool by_scale) {
  const float step = by_scale ? static_cast<float>(1.0 / d.scale)
                              : static_cast<float>(d.in) / static_cast<float>(d.out);
  for (std::int64_t i = 0; i < d.out; ++i) {
    const auto at =
        std::min(static_cast<std::int64_t>(std::floor(static_cast<float>(i) * step)), d.in - 1);
    if (at != places[static_cast<std::size_t>(i)])
      return false;
  }
  return true;
}

// What a value's sizes become where one dimension is resized, which may be more than in the end.
Sizes resized(const Val& x, const std::vector<Dim>& dims, std::int64_t dim) {
  Sizes sizes = x.sizes;
  sizes[static_cast<std::size_t>(dim)] = dims[static_cast<std::size_t>(dim)].out;
  return sizes;
}

Val resize(Builder& b, Val x, const Plan& plan, const std::vector<Dim>& dims, const Sizes& sizes) {
  std::vector<std::int64_t> changed;
  for (std::size_t d = 0; d < dims.size(); ++d) {
    if (dims[d].in != dims[d].out || dims[d].scale != 1)
      changed.push_back(static_cast<std::int64_t>(d));
  }
  if (changed.empty())
    return x;
  for (const Dim& d : dims) b.count_folded(d.out);
  const bool image = x.rank() == 4 && changed.front() >= 2 && x.is_floating();
  if (plan.mode == "nearest") {
    if (image && as_aten_nearest(nearest_places(plan, dims[2]), dims[2], false) &&
        as_aten_nearest(nearest_places(plan, dims[3]), dims[3], false))
      return b.emit("aten::upsample_nearest2d",
                    {x, Sizes{dims[2].out, dims[3].out}, std::nullopt, std::nullopt}, x.dtype,
                    sizes);
    for (const std::int64_t d : changed) {
      count_one(resized(x, dims, d));
      x = pick(b, x, d, nearest_places(plan, dims[static_cast<std::size_t>(d)]));
    }
    return x;
  }
  if (!x.is_floating())
    refuse("interpolation of integers");
  const bool corners = plan.coordinates == "align_corners";
  bool halves = plan.coordinates == "half_pixel" || plan.coordinates == "pytorch_half_pixel";
  for (const Dim& d : dims) {
    // ATen keeps its samples within the image where ONNX does not say so: one pixel only.
    if (plan.coordinates == "pytorch_half_pixel" && d.out == 1 && d.in != 1)
      halves = false;
  }
  if (image && (corners || halves) && !plan.exclude_outside &&
      (plan.mode == "linear" || plan.cubic == -0.75)) {
    const char* op =
        plan.mode == "linear" ? "aten::upsample_bilinear2d" : "aten::upsample_bicubic2d";
    return b.emit(op, {x, Sizes{dims[2].out, dims[3].out}, corners, dims[2].scale, dims[3].scale},
                  x.dtype, sizes, count(sizes) * (plan.mode == "linear" ? 4 : 16));
  }
  for (const std::int64_t d : changed) {
    count_one(resized(x, dims, d));
    x = by_matrix(b, x, d, weights(b, plan, dims[static_cast<std::size_t>(d)]));
  }
  return x;
}

std::vector<Val> resize_by(Node& node, const Plan& plan, const std::vector<double>& scales,
                           const Sizes& given, Sizes axes) {
  const Val& x = node.in(0);
  need_sizes(x, "resizing");
  if (axes.empty()) {
    axes.resize(x.sizes.size());
    std::iota(axes.begin(), axes.end(), 0);
  }
  for (std::int64_t& axis : axes) axis = axis_of(axis, x.rank());
  if ((scales.empty() ? given.size() : scales.size()) != axes.size())
    corrupt("scales or sizes that do not fit " + to_text(x.sizes));
  std::vector<Dim> dims;
  for (const std::int64_t size : x.sizes) dims.push_back({size, size, 1});
  for (std::size_t i = 0; i < axes.size(); ++i) {
    Dim& d = dims[static_cast<std::size_t>(axes[i])];
    double out = 0;
    if (scales.empty()) {
      out = static_cast<double>(given[i]);
      d.scale = out / static_cast<double>(d.in);
    } else {
      d.scale = scales[i];
      out = std::floor(static_cast<double>(d.in) * d.scale);
    }
    if (!(out >= 1) || !(out <= static_cast<double>(most_elements)) || d.in < 1)
      corrupt("a size of " + std::to_string(d.in) + " cannot become " + std::to_string(out));
    d.out = static_cast<std::int64_t>(out);
  }
  Sizes sizes;
  for (const Dim& d : dims) sizes.push_back(d.out);
  if (count(sizes) > most_elements)
    too_large("a result of the sizes " + to_text(sizes));
  if (plan.mode != "nearest" && plan.mode != "linear" && plan.mode != "cubic")
    corrupt("mode = '" + plan.mode + "'");
  return {resize(node.builder, x, plan, dims, sizes)};
}

std::vector<Val> upsample(Node& node) {
  if (node.opset >= 10)
    refuse("it was replaced by Resize in opset 10");
  Plan plan;
  plan.mode = node.text("mode", "nearest");
  plan.coordinates = "asymmetric";
  plan.nearest = "before opset 11";
  return resize_by(node, plan, node.floats(1), {}, {});
}

std::vector<Val> resize(Node& node) {
  Plan plan;
  plan.mode = node.text("mode", "nearest");
  if (node.opset == 10) {
    plan.coordinates = "asymmetric";
    plan.nearest = "before opset 11";
    return resize_by(node, plan, node.floats(1), {}, {});
  }
  plan.coordinates = node.text("coordinate_transformation_mode", "half_pixel");
  plan.nearest = node.text("nearest_mode", "round_prefer_floor");
  plan.cubic = node.real("cubic_coeff_a", -0.75);
  plan.exclude_outside = node.flag("exclude_outside");
  if (node.flag("antialias"))
    refuse("antialias");
  if (plan.coordinates == "tf_crop_and_resize")
    refuse("coordinate_transformation_mode = 'tf_crop_and_resize'");
  if (node.text("keep_aspect_ratio_policy", "stretch") != "stretch")
    refuse("keep_aspect_ratio_policy = '" + node.text("keep_aspect_ratio_policy", "") + "'");
  std::vector<double> scales;
  Sizes sizes;
  if (node.has(2))
    scales = node.floats(2);
  if (node.has(3))
    sizes = node.ints(3);
  if (scales.empty() == sizes.empty())
    corrupt("either scales or sizes must be given");
  return resize_by(node, plan, scales, sizes, node.integers("axes").value_or(Sizes()));
}

constexpr std::array table{
    Operator{"Resize", 10, resize,
             "constant scales or sizes; not tf_crop_and_resize, antialias; aspect ratio: stretch"},
    Operator{"Upsample", 7, upsample, "opset 9; constant scales"},
};

}  // namespace

std::span<const Operator> resizing_operators() {
  return table;
}

}  // namespace cleave::inline v0::model::onnx_in
