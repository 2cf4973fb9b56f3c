#include "lib/model/dnnl.hpp"

#include <omp.h>
#include <oneapi/dnnl/dnnl.hpp>

#include <algorithm>
#include <string_view>
#include <type_traits>
#include <unordered_map>

namespace cleave::inline v0::model::dnn {
namespace {

using Memory = dnnl::memory;
using Tag = Memory::format_tag;
using Desc = Memory::desc;
constexpr auto f32 = Memory::data_type::f32;
#if DNNL_VERSION_MAJOR >= 3
using PoolingPrimitive = dnnl::pooling_forward;
#else
using PoolingPrimitive = dnnl::pooling_v2_forward;
#endif

const dnnl::engine& engine() {
  static const dnnl::engine the(dnnl::engine::kind::cpu, 0);
  return the;
}

Memory memory(const Desc& desc, const void* data) {
  return {desc, engine(), const_cast<void*>(data)};
}

// One a thread: a stream must not be used by two at once.
dnnl::stream& stream() {
  thread_local dnnl::stream the(engine());
  return the;
}

Tag tag_of(Layout layout, std::size_t dimensions) {
  if (dimensions == 2)
    return Tag::nc;
  switch (layout) {
    case Layout::plain:
      return Tag::nchw;
    case Layout::channels_last:
      return Tag::nhwc;
    case Layout::blocked:
      return block() == 16 ? Tag::nChw16c : Tag::nChw8c;
  }
  return Tag::undef;
}

Desc desc_of(const Sizes& sizes, Layout layout) {
  return {sizes, f32, tag_of(layout, sizes.size())};
}

void append(dnnl::post_ops& operations, dnnl::algorithm algorithm, float alpha, float beta) {
#if DNNL_VERSION_MAJOR >= 3
  operations.append_eltwise(algorithm, alpha, beta);
#else
  operations.append_eltwise(1, algorithm, alpha, beta);
#endif
}

void append(dnnl::post_ops& operations, const Activation& activation) {
  using Kind = Activation::Kind;
  using dnnl::algorithm;
  switch (activation.kind) {
    case Kind::none:
      return;
    case Kind::relu:
      return append(operations, algorithm::eltwise_relu, 0, 0);
    case Kind::leaky_relu:
      return append(operations, algorithm::eltwise_relu, activation.alpha, 0);
    case Kind::clip:
      return append(operations, algorithm::eltwise_clip, activation.alpha, activation.beta);
    case Kind::sigmoid:
      return append(operations, algorithm::eltwise_logistic, 0, 0);
    case Kind::tanh:
      return append(operations, algorithm::eltwise_tanh, 0, 0);
    case Kind::silu:
      return append(operations, algorithm::eltwise_swish, 1, 0);
    case Kind::hardswish:
      return append(operations, algorithm::eltwise_hardswish, 1.0F / 6, 0.5F);
    case Kind::gelu:
      return append(operations, algorithm::eltwise_gelu_erf, 0, 0);
    case Kind::gelu_tanh:
      return append(operations, algorithm::eltwise_gelu_tanh, 0, 0);
    case Kind::elu:
      return append(operations, algorithm::eltwise_elu, activation.alpha, 0);
  }
}

dnnl::primitive_attr attributes(bool sum, const Activation& activation) {
  dnnl::primitive_attr result;
  // The scratch memory is the caller's, so that a kernel can run on several threads at once.
  result.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  dnnl::post_ops operations;
  if (sum)
    operations.append_sum(1);
  append(operations, activation);
  result.set_post_ops(operations);
  return result;
}

// oneDNN falls back to loops a thousand times slower where no kernel takes the given order of
// weights; better none than those.
template <class Description>
bool is_reference(const Description& description) {
  return std::string_view(description.impl_info_str()).starts_with("ref");
}

std::int64_t out_size(std::int64_t in, std::int64_t kernel, std::int64_t stride,
                      std::int64_t padding, std::int64_t dilation) {
  return (in + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1;
}

}  // namespace

class Packed {
 public:
  explicit Packed(const Desc& desc, Desc plain)
      : memory_(desc, engine()), plain_(std::move(plain)) {}
  [[nodiscard]] const Memory& memory() const { return memory_; }
  [[nodiscard]] Desc desc() const { return memory_.get_desc(); }
  [[nodiscard]] const Desc& plain() const { return plain_; }

 private:
  Memory memory_;
  Desc plain_;
};

namespace {

class CompiledKernel final : public Kernel {
 public:
  template <class Primitive, class Description>
  CompiledKernel(const Primitive& primitive, const Description& description, Desc plain, bool bias,
                 Sizes destination)
      : primitive_(primitive),
        source_(description.src_desc()),
        destination_(description.dst_desc()),
        scratch_(description.scratchpad_desc()),
        plain_(std::move(plain)),
        sizes_(std::move(destination)) {
    if constexpr (!std::is_same_v<Primitive, PoolingPrimitive> &&
                  !std::is_same_v<Primitive, dnnl::softmax_forward>) {
      weights_ = description.weights_desc();
      weighted_ = true;
      if (bias) {
        bias_ = description.bias_desc();
        biased_ = true;
      }
    }
  }

  void run(const float* source, const Packed* weights, const float* bias, float* destination,
           void* scratch) const override {
    std::unordered_map<int, Memory> arguments;
    arguments.reserve(5);
    arguments.emplace(DNNL_ARG_SRC, dnn::memory(source_, source));
    arguments.emplace(DNNL_ARG_DST, dnn::memory(destination_, destination));
    if (weighted_)
      arguments.emplace(DNNL_ARG_WEIGHTS, weights->memory());
    if (biased_)
      arguments.emplace(DNNL_ARG_BIAS, dnn::memory(bias_, bias));
    if (scratch_bytes() > 0)
      arguments.emplace(DNNL_ARG_SCRATCHPAD, dnn::memory(scratch_, scratch));
    primitive_.execute(stream(), arguments);
  }

  [[nodiscard]] std::size_t scratch_bytes() const override { return scratch_.get_size(); }
  [[nodiscard]] const Sizes& destination() const override { return sizes_; }
  [[nodiscard]] std::shared_ptr<const Packed> pack(const float* weights) const override {
    auto packed = std::make_shared<Packed>(weights_, plain_);
    Memory from = dnn::memory(plain_, weights);
    Memory to = packed->memory();
    dnnl::reorder(from, to).execute(stream(), from, to);
    stream().wait();
    return packed;
  }

 private:
  dnnl::primitive primitive_;
  Desc source_, destination_, scratch_, weights_, bias_;
  Desc plain_;  // of the weights
  bool weighted_ = false, biased_ = false;
  Sizes sizes_;
};

class CompiledProduct final : public Product {
 public:
  CompiledProduct(const dnnl::matmul::primitive_desc& description, Sizes destination)
      : primitive_(description),
        a_(description.src_desc()),
        b_(description.weights_desc()),
        y_(description.dst_desc()),
        scratch_(description.scratchpad_desc()),
        sizes_(std::move(destination)) {}

  void run(const float* a, const float* b, float* y, void* scratch) const override {
    std::unordered_map<int, Memory> arguments{{DNNL_ARG_SRC, dnn::memory(a_, a)},
                                              {DNNL_ARG_WEIGHTS, dnn::memory(b_, b)},
                                              {DNNL_ARG_DST, dnn::memory(y_, y)}};
    if (scratch_bytes() > 0)
      arguments.emplace(DNNL_ARG_SCRATCHPAD, dnn::memory(scratch_, scratch));
    primitive_.execute(stream(), arguments);
  }
  [[nodiscard]] std::size_t scratch_bytes() const override { return scratch_.get_size(); }
  [[nodiscard]] const Sizes& destination() const override { return sizes_; }

 private:
  dnnl::matmul primitive_;
  Desc a_, b_, y_, scratch_;
  Sizes sizes_;
};

}  // namespace

Kernel::~Kernel() = default;
Product::~Product() = default;

std::string to_string(Layout layout) {
  switch (layout) {
    case Layout::plain:
      return "plain";
    case Layout::channels_last:
      return "channels_last";
    case Layout::blocked:
      return "blocked";
  }
  return "";
}

std::int64_t block() {
  static const std::int64_t width =
      (static_cast<int>(dnnl::get_effective_cpu_isa()) &
       static_cast<int>(dnnl::cpu_isa::avx512_core)) == static_cast<int>(dnnl::cpu_isa::avx512_core)
          ? 16
          : 8;
  return width;
}

std::size_t bytes_of(const Packed& packed) {
  return packed.desc().get_size();
}

int threads() {
  return omp_get_max_threads();
}

void set_threads(int threads) {
  omp_set_num_threads(threads);
}

namespace {

// Images of one channel or of one pixel lie the same way in both.
bool also_channels_last(const Sizes& image, Layout layout) {
  return layout == Layout::plain && (image[1] == 1 || image[2] * image[3] == 1);
}

std::shared_ptr<const Kernel> convolution_as(const ConvolutionForm& form, ConvolutionMethod method,
                                             Layout source, Layout destination, const Sizes& input,
                                             const Packed* packed) {
  const auto algorithm = method == ConvolutionMethod::winograd
                             ? dnnl::algorithm::convolution_winograd
                             : dnnl::algorithm::convolution_direct;
  const Sizes output = {
      input[0], form.weights[0],
      out_size(input[2], form.weights[2], form.stride[0], form.padding[0], form.dilation[0]),
      out_size(input[3], form.weights[3], form.stride[1], form.padding[1], form.dilation[1])};
  if (output[2] < 1 || output[3] < 1)
    return nullptr;
  Sizes weights = form.weights;
  if (form.groups > 1) {
    weights[0] /= form.groups;
    weights.insert(weights.begin(), form.groups);
  }
  const Memory::dims stride = {form.stride[0], form.stride[1]},
                     padding = {form.padding[0], form.padding[1]},
                     dilation = {form.dilation[0] - 1, form.dilation[1] - 1};
  try {
    const Desc plain(weights, f32, form.groups > 1 ? Tag::goihw : Tag::oihw);
    const Desc x = desc_of(input, source), y = desc_of(output, destination);
    const Desc w = packed ? packed->desc() : Desc(weights, f32, Tag::any);
    const Desc b = form.bias ? Desc({output[1]}, f32, Tag::x) : Desc();
    const auto attr = attributes(form.sum, form.activation);
    using Primitive = dnnl::convolution_forward;
#if DNNL_VERSION_MAJOR >= 3
    const Primitive::primitive_desc description(engine(), dnnl::prop_kind::forward_inference,
                                                algorithm, x, w, b, y, stride, dilation, padding,
                                                padding, attr);
#else
    const Primitive::desc operation(dnnl::prop_kind::forward_inference, algorithm, x, w, b, y,
                                    stride, dilation, padding, padding);
    const Primitive::primitive_desc description(operation, attr, engine());
#endif
    if (is_reference(description))
      return nullptr;
    return std::make_shared<CompiledKernel>(Primitive(description), description, plain, form.bias,
                                            output);
  } catch (const dnnl::error&) {
    return nullptr;
  }
}

}  // namespace

std::shared_ptr<const Kernel> convolution(const ConvolutionForm& form, ConvolutionMethod method,
                                          Layout source, Layout destination, const Sizes& input,
                                          const Packed* packed) {
  if (auto kernel = convolution_as(form, method, source, destination, input, packed))
    return kernel;
  // oneDNN has kernels under one name of the two, but takes a cached one under either: without this
  // it would depend on what was compiled before whether there is a kernel.
  return also_channels_last(input, source)
             ? convolution_as(form, method, Layout::channels_last, destination, input, packed)
             : nullptr;
}

std::shared_ptr<const Kernel> linear(const LinearForm& form, LinearMethod method, std::int64_t rows,
                                     const Packed* packed) {
  if (method == LinearMethod::convolution) {
    ConvolutionForm pixels;
    pixels.weights = {form.out, form.in, 1, 1};
    pixels.bias = form.bias;
    pixels.sum = form.sum;
    pixels.activation = form.activation;
    return convolution(pixels, ConvolutionMethod::direct, Layout::channels_last,
                       Layout::channels_last, {1, form.in, 1, rows}, packed);
  }
  try {
    const Sizes output = {rows, form.out};
    const Desc plain({form.out, form.in}, f32, Tag::oi);
    const Desc x({rows, form.in}, f32, Tag::nc), y(output, f32, Tag::nc);
    const Desc w = packed ? packed->desc() : Desc({form.out, form.in}, f32, Tag::any);
    const Desc b = form.bias ? Desc({form.out}, f32, Tag::x) : Desc();
    const auto attr = attributes(form.sum, form.activation);
    using Primitive = dnnl::inner_product_forward;
#if DNNL_VERSION_MAJOR >= 3
    const Primitive::primitive_desc description(engine(), dnnl::prop_kind::forward_inference, x, w,
                                                b, y, attr);
#else
    const Primitive::desc operation(dnnl::prop_kind::forward_inference, x, w, b, y);
    const Primitive::primitive_desc description(operation, attr, engine());
#endif
    if (is_reference(description))
      return nullptr;
    return std::make_shared<CompiledKernel>(Primitive(description), description, plain, form.bias,
                                            output);
  } catch (const dnnl::error&) {
    return nullptr;
  }
}

std::shared_ptr<const Kernel> pooling(const PoolingForm& form, Layout layout, const Sizes& input) {
  const auto algorithm = form.maximum         ? dnnl::algorithm::pooling_max
                         : form.count_padding ? dnnl::algorithm::pooling_avg_include_padding
                                              : dnnl::algorithm::pooling_avg_exclude_padding;
  const Sizes output = {input[0], input[1], form.out_height, form.out_width};
  if (output[2] < 1 || output[3] < 1)
    return nullptr;
  const auto after = [&](std::size_t d) {
    return std::max<std::int64_t>(0, (output[2 + d] - 1) * form.stride[d] +
                                         form.dilation[d] * (form.kernel[d] - 1) + 1 -
                                         input[2 + d] - form.padding[d]);
  };
  const Memory::dims stride = {form.stride[0], form.stride[1]},
                     kernel = {form.kernel[0], form.kernel[1]},
                     before = {form.padding[0], form.padding[1]}, behind = {after(0), after(1)},
                     dilation = {form.dilation[0] - 1, form.dilation[1] - 1};
  try {
    const Desc x = desc_of(input, layout), y = desc_of(output, layout);
    const auto attr = attributes(false, {});
#if DNNL_VERSION_MAJOR >= 3
    const PoolingPrimitive::primitive_desc description(engine(), dnnl::prop_kind::forward_inference,
                                                       algorithm, x, y, stride, kernel, dilation,
                                                       before, behind, attr);
#else
    const PoolingPrimitive::desc operation(dnnl::prop_kind::forward_inference, algorithm, x, y,
                                           stride, kernel, dilation, before, behind);
    const PoolingPrimitive::primitive_desc description(operation, attr, engine());
#endif
    return std::make_shared<CompiledKernel>(PoolingPrimitive(description), description, Desc(),
                                            false, output);
  } catch (const dnnl::error&) {
    return nullptr;
  }
}

std::shared_ptr<const Product> product(const Strided& a, const Strided& b) {
  Sizes sizes = a.sizes, strides(a.sizes.size(), 1);
  sizes.back() = b.sizes.back();
  for (std::size_t d = sizes.size() - 1; d-- > 0;) strides[d] = strides[d + 1] * sizes[d + 1];
  try {
    const Desc left(a.sizes, f32, a.strides), right(b.sizes, f32, b.strides),
        result(sizes, f32, strides);
    const auto attr = attributes(false, {});
#if DNNL_VERSION_MAJOR >= 3
    const dnnl::matmul::primitive_desc description(engine(), left, right, result, attr);
#else
    const dnnl::matmul::desc operation(left, right, result);
    const dnnl::matmul::primitive_desc description(operation, attr, engine());
#endif
    if (is_reference(description))
      return nullptr;
    return std::make_shared<CompiledProduct>(description, sizes);
  } catch (const dnnl::error&) {
    return nullptr;
  }
}

std::shared_ptr<const Kernel> softmax(std::int64_t rows, std::int64_t columns) {
  try {
    const Sizes sizes = {rows, columns};
    const Desc dense(sizes, f32, Tag::ab);
    const auto attr = attributes(false, {});
    using Primitive = dnnl::softmax_forward;
#if DNNL_VERSION_MAJOR >= 3
    const Primitive::primitive_desc description(engine(), dnnl::prop_kind::forward_inference,
                                                dnnl::algorithm::softmax_accurate, dense, dense, 1,
                                                attr);
#else
    const Primitive::desc operation(dnnl::prop_kind::forward_inference, dense, 1);
    const Primitive::primitive_desc description(operation, attr, engine());
#endif
    if (is_reference(description))
      return nullptr;
    return std::make_shared<CompiledKernel>(Primitive(description), description, Desc(), false,
                                            sizes);
  } catch (const dnnl::error&) {
    return nullptr;
  }
}

std::vector<float> unpack(const Packed& packed) {
  std::vector<float> plain(packed.plain().get_size() / sizeof(float));
  Memory from = packed.memory();
  Memory to = memory(packed.plain(), plain.data());
  dnnl::reorder(from, to).execute(stream(), from, to);
  stream().wait();
  return plain;
}

void reorder(const Sizes& sizes, const float* from, Layout from_layout, float* to,
             Layout to_layout) {
  Memory source = memory(desc_of(sizes, from_layout), from);
  Memory destination = memory(desc_of(sizes, to_layout), to);
  // oneDNN keeps compiled primitives in a cache of its own, so this costs microseconds.
  dnnl::reorder(source, destination).execute(stream(), source, destination);
}

void drop_unused_kernels() {
  const int capacity = dnnl::get_primitive_cache_capacity();
  dnnl::set_primitive_cache_capacity(0);
  dnnl::set_primitive_cache_capacity(capacity);
}

std::string version() {
  const dnnl_version_t* v = dnnl_version();
  return std::to_string(v->major) + "." + std::to_string(v->minor) + "." +
         std::to_string(v->patch) + " isa " +
         std::to_string(static_cast<int>(dnnl::get_effective_cpu_isa()));
}

}  // namespace cleave::inline v0::model::dnn
