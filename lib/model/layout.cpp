#include "lib/model/layout.hpp"

#include "lib/model/containers.hpp"

namespace cleave::inline v0::model {
namespace {

// Strides of nothing but the layout's own order: libtorch leaves those of dimensions of one
// element open, kernels do not.
bool lies_in(const at::Tensor& tensor, Layout layout) {
  return layout == Layout::channels_last ? tensor.is_contiguous(at::MemoryFormat::ChannelsLast)
                                         : tensor.is_contiguous();
}

}  // namespace

bool is_readable(const at::Tensor& tensor) {
  return tensor.defined() && tensor.scalar_type() == at::kFloat && tensor.device().is_cpu() &&
         tensor.layout() == at::kStrided && !tensor.is_neg() && !tensor._is_zerotensor();
}

bool is_image(const at::Tensor& tensor) {
  return is_readable(tensor) && tensor.dim() == 4 && tensor.numel() > 0;
}

bool is_blocked(const at::Tensor& tensor) {
  return is_readable(tensor) && tensor.dim() == 5 && tensor.size(4) == dnn::block() &&
         tensor.numel() > 0 && tensor.is_contiguous();
}

bool fits_layout(const at::Tensor& tensor, Layout layout) {
  return layout == Layout::blocked ? is_blocked(tensor) : is_image(tensor);
}

dnn::Sizes logical_sizes(const at::Tensor& tensor, Layout layout) {
  dnn::Sizes sizes = tensor.sizes().vec();
  if (layout == Layout::blocked) {
    sizes[1] *= sizes[4];
    sizes.pop_back();
  }
  return sizes;
}

namespace {

struct Shape {
  dnn::Sizes sizes, strides;
};

// Of an image's tensor in the layout.
Shape shape_in(const dnn::Sizes& sizes, Layout layout) {
  const std::int64_t c = sizes[1], h = sizes[2], w = sizes[3], image = c * h * w;
  switch (layout) {
    case Layout::channels_last:
      return {sizes, {image, 1, w * c, c}};
    case Layout::blocked: {
      const std::int64_t b = dnn::block();
      TORCH_CHECK(c % b == 0);
      return {{sizes[0], c / b, h, w, b}, {image, h * w * b, w * b, b, 1}};
    }
    case Layout::plain:
      break;
  }
  return {sizes, {image, h * w, w, 1}};
}

}  // namespace

at::Tensor make(BufferPool& pool, const dnn::Sizes& sizes, Layout layout) {
  const auto elements = static_cast<std::size_t>(c10::multiply_integers(sizes));
  if (sizes.size() != 4) {
    TORCH_CHECK(sizes.size() == 2);
    return pool.tensor(sizes, {sizes[1], 1}, elements);
  }
  const Shape shape = shape_in(sizes, layout);
  return pool.tensor(shape.sizes, shape.strides, elements);
}

at::Tensor to_layout(BufferPool& pool, const at::Tensor& tensor, Layout from, Layout to) {
  if (!tensor.defined())
    return tensor;
  if (tensor.is_neg())
    return to_layout(pool, tensor.resolve_neg(), Layout::plain, to);
  if (from == Layout::blocked && !is_blocked(tensor))
    from = Layout::plain;
  if (from == Layout::blocked && to == Layout::blocked)
    return tensor;
  if (from != Layout::blocked) {
    if (!is_image(tensor))
      return to == Layout::plain ? tensor.contiguous() : tensor;
    if (to == Layout::blocked && tensor.size(1) % dnn::block() != 0)
      return tensor;
    if (to != Layout::blocked && lies_in(tensor, to))
      return tensor;
    if (lies_in(tensor, Layout::plain))
      from = Layout::plain;
    else if (lies_in(tensor, Layout::channels_last))
      from = Layout::channels_last;
    else
      return to_layout(pool, tensor.contiguous(), Layout::plain, to);
  }
  const dnn::Sizes sizes = logical_sizes(tensor, from);
  if (sizes[2] * sizes[3] == 1) {  // one pixel lies the same way in all of them
    const Shape shape = shape_in(sizes, to);
    return tensor.as_strided(shape.sizes, shape.strides);
  }
  at::Tensor result = make(pool, sizes, to);
  dnn::reorder(sizes, tensor.data_ptr<float>(), from, result.data_ptr<float>(), to);
  return result;
}

c10::IValue to_plain(const c10::IValue& value) {
  return map_leaves(value, [](const c10::IValue& leaf) {
    return leaf.isTensor() && leaf.toTensor().defined() ? leaf.toTensor().contiguous() : leaf;
  });
}

}  // namespace cleave::inline v0::model
