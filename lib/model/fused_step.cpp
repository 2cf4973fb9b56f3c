#include "lib/model/fused_step.hpp"

#include <algorithm>
#include <unordered_map>

namespace cleave::inline v0::model {

Parts::Parts(const Plan& plan, std::span<const std::uint32_t> members,
             std::span<const std::uint32_t> inputs, std::uint32_t result) {
  std::unordered_map<std::uint32_t, std::uint32_t> local;
  for (const std::uint32_t slot : inputs) local.emplace(slot, values_++);
  for (const std::uint32_t index : members) {
    const PlacedStep& placed = plan.steps[index];
    Part part;
    part.step = placed.step;
    for (const Source& source : placed.arguments) {
      if (!source.constant) {
        part.arguments.push_back({local.at(source.index), false});
        continue;
      }
      part.arguments.push_back({static_cast<std::uint32_t>(constants_.size()), true});
      constants_.push_back(plan.constants[source.index]);
      constant_ids_.push_back(source.index);
    }
    for (const std::uint32_t slot : placed.results) {
      part.results.push_back(slot == no_slot ? no_slot : values_);
      if (slot != no_slot)
        local.emplace(slot, values_++);
    }
    parts_.push_back(std::move(part));
  }
  result_ = local.at(result);
}

void Parts::release(std::uint32_t constant) {
  for (std::size_t i = 0; i < constants_.size(); ++i) {
    if (constant_ids_[i] == constant) {
      constants_[i] = c10::IValue();
      released_ = i;
    }
  }
}

at::Tensor Parts::run(const std::vector<at::Tensor>& inputs, const at::Tensor& released) const {
  std::vector<c10::IValue> values(values_);
  std::copy(inputs.begin(), inputs.end(), values.begin());
  torch::jit::Stack stack;
  for (const Part& part : parts_) {
    stack.clear();
    for (const Operand& operand : part.arguments) {
      if (!operand.constant)
        stack.push_back(values[operand.index]);
      else if (released_ == operand.index)
        stack.emplace_back(released);
      else
        stack.push_back(constants_[operand.index]);
    }
    part.step->run(stack);
    for (std::size_t i = 0; i < part.results.size(); ++i) {
      if (part.results[i] != no_slot)
        values[part.results[i]] = stack[i];
    }
  }
  return values[result_].toTensor();
}

namespace {

// As the model has it.
class PartsStep final : public Step {
 public:
  PartsStep(Parts parts, std::int64_t elements, std::size_t bytes)
      : parts_(std::move(parts)), elements_(elements), bytes_(bytes) {}
  void run(torch::jit::Stack& stack) const override {
    std::vector<at::Tensor> inputs;
    for (auto& value : stack) inputs.push_back(std::move(value).toTensor());
    stack.clear();
    stack.emplace_back(parts_.run(inputs));
  }
  [[nodiscard]] std::int64_t weight_elements() const override { return elements_; }
  [[nodiscard]] std::size_t weight_bytes() const override { return bytes_; }

 private:
  Parts parts_;
  std::int64_t elements_;
  std::size_t bytes_;
};

std::size_t bytes_of(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.nbytes() : 0;
}

std::int64_t elements_of(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.numel() : 0;
}

const float* data_of(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.data_ptr<float>() : nullptr;
}

std::shared_ptr<const Step> by_aten(const Parts& parts, const at::Tensor& weights,
                                    const at::Tensor& bias) {
  return std::make_shared<PartsStep>(parts, elements_of(weights) + elements_of(bias),
                                     bytes_of(weights) + bytes_of(bias));
}

// Where a kernel adds to what its destination holds: the second argument's memory if nobody else
// sees it, else a copy.
at::Tensor summand(BufferPool& pool, at::Tensor other) {
  if (BufferPool::owns_alone(other))
    return other;
  at::Tensor copy =
      pool.tensor(other.sizes(), other.strides(), static_cast<std::size_t>(other.numel()));
  std::memcpy(copy.data_ptr<float>(), other.data_ptr<float>(), other.nbytes());
  return copy;
}

// An argument whose elements are what they are: libtorch leaves some to be negated by their reader,
// and they are negated when they cross a cut, after which a kernel would take them.
at::Tensor resolved(c10::IValue& value) {
  at::Tensor tensor = std::move(value).toTensor();
  return tensor.defined() && tensor.is_neg() ? tensor.resolve_neg() : tensor;
}

at::Tensor dense(BufferPool& pool, at::IntArrayRef sizes) {
  dnn::Sizes strides(sizes.size(), 1);
  for (std::size_t d = sizes.size() - 1; d-- > 0;) strides[d] = strides[d + 1] * sizes[d + 1];
  return pool.tensor(sizes, strides, static_cast<std::size_t>(c10::multiply_integers(sizes)));
}

// Weights packed for kernels of any size and number of threads, and what every kernel needs beside.
class PackedStep : public Step {
 public:
  PackedStep(Parts parts, std::shared_ptr<const dnn::Packed> packed, dnn::Sizes plain,
             at::Tensor bias, std::shared_ptr<BufferPool> pool)
      : parts_(std::move(parts)),
        packed_(std::move(packed)),
        plain_(std::move(plain)),
        bias_(std::move(bias)),
        pool_(std::move(pool)) {}

  [[nodiscard]] std::int64_t weight_elements() const override {
    return c10::multiply_integers(plain_) + elements_of(bias_);
  }
  [[nodiscard]] std::size_t weight_bytes() const override {
    return dnn::bytes_of(*packed_) + bytes_of(bias_);
  }

 protected:
  // For what no kernel takes: rare, so the weights are unpacked each time and not kept.
  [[nodiscard]] at::Tensor run_parts(const std::vector<at::Tensor>& inputs) const {
    const auto plain = dnn::unpack(*packed_);
    at::Tensor weights = at::from_blob(const_cast<float*>(plain.data()), plain_);
    if (!inputs.empty())
      weights = weights.to(inputs[0].device());
    return parts_.run(inputs, weights);
  }
  // A kernel that takes the weights as they were packed, else one with a copy in its own order.
  // `compile` takes the weights that the kernel has to take, or null.
  template <class F>
  [[nodiscard]] Prepared prepare(at::IntArrayRef sizes, const F& compile) const {
    return kernels_.get(sizes, [&]() -> Prepared {
      if (auto kernel = compile(packed_.get()))
        return {std::move(kernel), packed_};
      auto kernel = compile(nullptr);
      if (!kernel)
        return {};
      auto weights = kernel->pack(dnn::unpack(*packed_).data());
      return {std::move(kernel), std::move(weights)};
    });
  }
  void run_kernel(const Prepared& prepared, const at::Tensor& source,
                  const at::Tensor& destination) const {
    const auto scratch = pool_->bytes(prepared.kernel->scratch_bytes());
    prepared.kernel->run(source.data_ptr<float>(), prepared.weights.get(), data_of(bias_),
                         destination.data_ptr<float>(), scratch.get());
  }

  Parts parts_;
  std::shared_ptr<const dnn::Packed> packed_;
  dnn::Sizes plain_;  // sizes of the weights
  at::Tensor bias_;
  std::shared_ptr<BufferPool> pool_;
  KernelCache kernels_;
};

class ConvolutionStep final : public PackedStep {
 public:
  ConvolutionStep(dnn::ConvolutionForm form, Variant variant, Parts parts,
                  std::shared_ptr<const dnn::Packed> packed, at::Tensor bias,
                  std::shared_ptr<BufferPool> pool)
      : PackedStep(std::move(parts), std::move(packed), form.weights, std::move(bias),
                   std::move(pool)),
        form_(std::move(form)),
        variant_(std::move(variant)) {}

  void run(torch::jit::Stack& stack) const override {
    at::Tensor x = std::move(stack[0]).toTensor();
    at::Tensor other;
    if (form_.sum)
      other = std::move(stack[1]).toTensor();
    stack.clear();
    stack.emplace_back(run(std::move(x), std::move(other)));
  }

 private:
  [[nodiscard]] at::Tensor run(at::Tensor x, at::Tensor other) const {
    const Layout in = variant_.in[0];
    if (fits_layout(x, in)) {
      const dnn::Sizes sizes = logical_sizes(x, in);
      const Prepared prepared = prepare(sizes, [&](const dnn::Packed* packed) {
        return dnn::convolution(form_, variant_.method, in, variant_.out, sizes, packed);
      });
      if (prepared.kernel && (!form_.sum || fits(other, prepared.kernel->destination()))) {
        at::Tensor y = form_.sum ? summand(*pool_, std::move(other))
                                 : make(*pool_, prepared.kernel->destination(), variant_.out);
        run_kernel(prepared, x, y);
        return y;
      }
    }
    std::vector<at::Tensor> inputs = {to_layout(*pool_, x, in, Layout::plain)};
    if (form_.sum)
      inputs.push_back(to_layout(*pool_, other, variant_.out, Layout::plain));
    return to_layout(*pool_, run_parts(inputs), Layout::plain, variant_.out);
  }

  [[nodiscard]] bool fits(const at::Tensor& other, const dnn::Sizes& destination) const {
    return fits_layout(other, variant_.out) && logical_sizes(other, variant_.out) == destination;
  }

  dnn::ConvolutionForm form_;
  Variant variant_;
};

// Winograd's method for the inputs that its weights were transformed for, another way for all
// others: transformed weights fit one size of input and one number of threads, and the plain ones
// cannot be had back from them.
class WinogradStep final : public PackedStep {
 public:
  WinogradStep(dnn::ConvolutionForm form, std::shared_ptr<const dnn::Packed> packed,
               at::Tensor bias, std::shared_ptr<BufferPool> pool,
               std::shared_ptr<const ConvolutionStep> otherwise)
      : PackedStep(Parts(), std::move(packed), form.weights, std::move(bias), std::move(pool)),
        form_(std::move(form)),
        otherwise_(std::move(otherwise)) {}

  void run(torch::jit::Stack& stack) const override {
    if (!is_blocked(stack[0].toTensor()) || (form_.sum && !is_blocked(stack[1].toTensor())))
      return otherwise_->run(stack);
    const dnn::Sizes sizes = logical_sizes(stack[0].toTensor(), Layout::blocked);
    const Prepared prepared = kernels_.get(sizes, [&]() -> Prepared {
      return {dnn::convolution(form_, dnn::ConvolutionMethod::winograd, Layout::blocked,
                               Layout::blocked, sizes, packed_.get()),
              packed_};
    });
    if (!prepared.kernel || (form_.sum && logical_sizes(stack[1].toTensor(), Layout::blocked) !=
                                              prepared.kernel->destination()))
      return otherwise_->run(stack);
    const at::Tensor x = std::move(stack[0]).toTensor();
    at::Tensor y = form_.sum ? summand(*pool_, std::move(stack[1]).toTensor())
                             : make(*pool_, prepared.kernel->destination(), Layout::blocked);
    run_kernel(prepared, x, y);
    stack.clear();
    stack.emplace_back(std::move(y));
  }
  [[nodiscard]] std::size_t weight_bytes() const override {
    return PackedStep::weight_bytes() + otherwise_->weight_bytes() - bytes_of(bias_);
  }

 private:
  dnn::ConvolutionForm form_;
  std::shared_ptr<const ConvolutionStep> otherwise_;
};

std::string text_of(const dnn::Activation& activation) {
  return " act " + std::to_string(static_cast<int>(activation.kind)) + ' ' +
         std::to_string(activation.alpha) + ' ' + std::to_string(activation.beta);
}

template <class Range>
std::string text_of(const Range& numbers) {
  std::string text;
  for (const auto number : numbers) text += (text.empty() ? "" : "x") + std::to_string(number);
  return text;
}

class ConvolutionBlueprint final : public Blueprint {
 public:
  ConvolutionBlueprint(dnn::ConvolutionForm form, at::Tensor weights, at::Tensor bias, Parts parts,
                       std::uint32_t constant)
      : form_(std::move(form)),
        weights_(std::move(weights)),
        bias_(std::move(bias)),
        parts_(std::move(parts)),
        constant_(constant) {}

  [[nodiscard]] std::string signature() const override {
    return "convolution " + text_of(form_.weights) + " stride " + text_of(form_.stride) + " pad " +
           text_of(form_.padding) + " dilation " + text_of(form_.dilation) + " groups " +
           std::to_string(form_.groups) + (form_.bias ? " bias" : "") + (form_.sum ? " sum" : "") +
           text_of(form_.activation);
  }

  [[nodiscard]] std::vector<Variant> variants(
      const std::vector<dnn::Sizes>& inputs) const override {
    using Method = dnn::ConvolutionMethod;
    std::vector<Variant> result;
    const auto add = [&](std::string name, Layout in, Layout out, Method method) {
      Variant variant{std::move(name), {in}, out, method, false};
      if (form_.sum)
        variant.in.push_back(out);
      result.push_back(std::move(variant));
    };
    Variant aten{"aten plain", {Layout::plain}, Layout::plain, Method::direct, true};
    if (form_.sum)
      aten.in.push_back(Layout::plain);
    if (!inputs.empty() && inputs[0].size() != 4)
      return {aten};
    add("direct channels_last", Layout::channels_last, Layout::channels_last, Method::direct);
    const std::int64_t block = dnn::block();
    const bool from = form_.weights[1] * form_.groups % block == 0;
    const bool to = form_.weights[0] % block == 0;
    constexpr std::int64_t few_channels = 4;  // an image, which comes plain
    if (form_.groups == 1 && form_.weights[1] <= few_channels) {
      // One channel lies the same way in both; oneDNN has its kernels under one name only.
      if (form_.weights[1] > 1)
        add("direct from plain", Layout::plain, Layout::channels_last, Method::direct);
      if (to)
        add("direct plain to blocked", Layout::plain, Layout::blocked, Method::direct);
    }
    if (from && to) {
      add("direct blocked", Layout::blocked, Layout::blocked, Method::direct);
      if (form_.groups == 1 && form_.weights[2] == 3 && form_.weights[3] == 3 &&
          form_.stride == std::array<std::int64_t, 2>{1, 1})
        add("winograd blocked", Layout::blocked, Layout::blocked, Method::winograd);
    }
    result.push_back(std::move(aten));
    return result;
  }

  [[nodiscard]] std::shared_ptr<const Step> make(const Variant& variant,
                                                 const std::vector<dnn::Sizes>& inputs,
                                                 std::shared_ptr<BufferPool> pool) const override {
    if (variant.aten)
      return by_aten(parts_, weights_, bias_);
    const auto kernel =
        dnn::convolution(form_, variant.method, variant.in[0], variant.out, inputs[0], nullptr);
    if (!kernel)
      return nullptr;
    const at::Tensor plain = weights_.contiguous();
    auto packed = kernel->pack(plain.data_ptr<float>());
    if (variant.method == dnn::ConvolutionMethod::winograd) {
      Variant direct = variant;
      direct.method = dnn::ConvolutionMethod::direct;
      const auto otherwise =
          std::dynamic_pointer_cast<const ConvolutionStep>(make(direct, inputs, pool));
      if (!otherwise)
        return nullptr;
      return std::make_shared<WinogradStep>(form_, std::move(packed), bias_, std::move(pool),
                                            otherwise);
    }
    Parts parts = parts_;
    parts.release(constant_);
    return std::make_shared<ConvolutionStep>(form_, variant, std::move(parts), std::move(packed),
                                             bias_, std::move(pool));
  }

 private:
  dnn::ConvolutionForm form_;
  at::Tensor weights_, bias_;
  Parts parts_;
  std::uint32_t constant_;
};

class LinearStep final : public PackedStep {
 public:
  LinearStep(dnn::LinearForm form, dnn::LinearMethod method, Parts parts,
             std::shared_ptr<const dnn::Packed> packed, at::Tensor bias,
             std::shared_ptr<BufferPool> pool)
      : PackedStep(std::move(parts), std::move(packed), {form.out, form.in}, std::move(bias),
                   std::move(pool)),
        form_(form),
        method_(method) {}

  void run(torch::jit::Stack& stack) const override {
    at::Tensor x = resolved(stack[0]);
    at::Tensor other;
    if (form_.sum)
      other = resolved(stack[1]);
    stack.clear();
    stack.emplace_back(run(std::move(x), std::move(other)));
  }

 private:
  [[nodiscard]] at::Tensor run(at::Tensor x, at::Tensor other) const {
    if (is_readable(x) && x.dim() > 0 && x.size(-1) == form_.in && x.numel() > 0) {
      const std::int64_t rows = x.numel() / form_.in;
      const Prepared prepared = prepare(rows, [&](const dnn::Packed* packed) {
        return dnn::linear(form_, method_, rows, packed);
      });
      dnn::Sizes sizes = x.sizes().vec();
      sizes.back() = form_.out;
      if (prepared.kernel &&
          (!form_.sum || (is_readable(other) && other.sizes() == sizes && other.is_contiguous()))) {
        x = x.contiguous();
        at::Tensor y;
        if (form_.sum) {
          y = summand(*pool_, std::move(other));
        } else {
          y = dense(*pool_, sizes);
        }
        run_kernel(prepared, x, y);
        return y;
      }
    }
    return form_.sum ? run_parts({x, other}) : run_parts({x});
  }

  dnn::LinearForm form_;
  dnn::LinearMethod method_;
};

class LinearBlueprint final : public Blueprint {
 public:
  LinearBlueprint(dnn::LinearForm form, at::Tensor weights, at::Tensor bias, Parts parts,
                  std::uint32_t constant)
      : form_(form),
        weights_(std::move(weights)),
        bias_(std::move(bias)),
        parts_(std::move(parts)),
        constant_(constant) {}

  [[nodiscard]] std::string signature() const override {
    return "linear " + std::to_string(form_.in) + '>' + std::to_string(form_.out) +
           (form_.bias ? " bias" : "") + (form_.sum ? " sum" : "") + text_of(form_.activation);
  }
  [[nodiscard]] bool makes_images() const override { return false; }
  [[nodiscard]] std::vector<Variant> variants(
      const std::vector<dnn::Sizes>& /*inputs*/) const override {
    const std::vector<Layout> in(form_.sum ? 2 : 1, Layout::plain);
    return {{"product", in, Layout::plain, {}, false},
            {as_convolution, in, Layout::plain, {}, false},
            {"aten plain", in, Layout::plain, {}, true}};
  }
  [[nodiscard]] std::shared_ptr<const Step> make(const Variant& variant,
                                                 const std::vector<dnn::Sizes>& inputs,
                                                 std::shared_ptr<BufferPool> pool) const override {
    if (variant.aten)
      return by_aten(parts_, weights_, bias_);
    const std::int64_t rows =
        std::max<std::int64_t>(1, c10::multiply_integers(inputs[0]) / form_.in);
    const auto method = variant.name == as_convolution ? dnn::LinearMethod::convolution
                                                       : dnn::LinearMethod::product;
    const auto kernel = dnn::linear(form_, method, rows, nullptr);
    if (!kernel)
      return nullptr;
    const at::Tensor plain = weights_.contiguous();
    auto packed = kernel->pack(plain.data_ptr<float>());
    Parts parts = parts_;
    parts.release(constant_);
    return std::make_shared<LinearStep>(form_, method, std::move(parts), std::move(packed), bias_,
                                        std::move(pool));
  }

 private:
  static constexpr const char* as_convolution = "1x1 convolution";

  dnn::LinearForm form_;
  at::Tensor weights_, bias_;
  Parts parts_;
  std::uint32_t constant_;
};

class PoolingStep final : public Step {
 public:
  PoolingStep(PoolingShape shape, Layout layout, Parts parts, std::shared_ptr<BufferPool> pool)
      : shape_(shape), layout_(layout), parts_(std::move(parts)), pool_(std::move(pool)) {}

  static dnn::PoolingForm form_for(const PoolingShape& shape, const dnn::Sizes& sizes) {
    dnn::PoolingForm form = shape.form;
    if (shape.global) {
      form.kernel = {sizes[2], sizes[3]};
      form.out_height = form.out_width = 1;
      return form;
    }
    const auto out = [&](std::size_t d) {
      const std::int64_t in = sizes[2 + d], stride = form.stride[d], padding = form.padding[d];
      const std::int64_t span = in + 2 * padding - form.dilation[d] * (form.kernel[d] - 1) - 1 +
                                (shape.ceil ? stride - 1 : 0);
      std::int64_t count = span / stride + 1;
      // A window must start inside the image or the padding before it.
      if (shape.ceil && (count - 1) * stride >= in + padding)
        --count;
      return count;
    };
    form.out_height = out(0);
    form.out_width = out(1);
    return form;
  }

  void run(torch::jit::Stack& stack) const override {
    const at::Tensor x = std::move(stack[0]).toTensor();
    stack.clear();
    if (fits_layout(x, layout_)) {
      const dnn::Sizes sizes = logical_sizes(x, layout_);
      const auto kernel =
          kernels_
              .get(sizes,
                   [&]() -> Prepared {
                     return {dnn::pooling(form_for(shape_, sizes), layout_, sizes), nullptr};
                   })
              .kernel;
      if (kernel) {
        at::Tensor y = make(*pool_, kernel->destination(), layout_);
        const auto scratch = pool_->bytes(kernel->scratch_bytes());
        kernel->run(x.data_ptr<float>(), nullptr, nullptr, y.data_ptr<float>(), scratch.get());
        stack.emplace_back(std::move(y));
        return;
      }
    }
    const at::Tensor y = parts_.run({to_layout(*pool_, x, layout_, Layout::plain)});
    stack.emplace_back(to_layout(*pool_, y, Layout::plain, layout_));
  }

 private:
  PoolingShape shape_;
  Layout layout_;
  Parts parts_;
  std::shared_ptr<BufferPool> pool_;
  KernelCache kernels_;
};

class PoolingBlueprint final : public Blueprint {
 public:
  PoolingBlueprint(PoolingShape shape, Parts parts) : shape_(shape), parts_(std::move(parts)) {}

  [[nodiscard]] std::string signature() const override {
    const dnn::PoolingForm& form = shape_.form;
    return "pooling " + text_of(form.kernel) + " stride " + text_of(form.stride) + " pad " +
           text_of(form.padding) + " dilation " + text_of(form.dilation) +
           (form.maximum         ? " max"
            : form.count_padding ? " mean"
                                 : " mean inside") +
           (shape_.global ? " global" : "") + (shape_.ceil ? " ceil" : "");
  }
  [[nodiscard]] std::vector<Variant> variants(
      const std::vector<dnn::Sizes>& inputs) const override {
    std::vector<Variant> result;
    if (inputs.empty() || inputs[0].size() == 4) {
      result.push_back(
          {"channels_last", {Layout::channels_last}, Layout::channels_last, {}, false});
      if (inputs.empty() || inputs[0][1] % dnn::block() == 0)
        result.push_back({"blocked", {Layout::blocked}, Layout::blocked, {}, false});
    }
    result.push_back({"aten plain", {Layout::plain}, Layout::plain, {}, true});
    return result;
  }
  [[nodiscard]] std::shared_ptr<const Step> make(const Variant& variant,
                                                 const std::vector<dnn::Sizes>& inputs,
                                                 std::shared_ptr<BufferPool> pool) const override {
    if (variant.aten)
      return by_aten(parts_, {}, {});
    if (!dnn::pooling(PoolingStep::form_for(shape_, inputs[0]), variant.out, inputs[0]))
      return nullptr;
    return std::make_shared<PoolingStep>(shape_, variant.out, parts_, std::move(pool));
  }

 private:
  PoolingShape shape_;
  Parts parts_;
};

// By oneDNN, but for what it has no kernel for.
class ProductStep final : public Step {
 public:
  ProductStep(Parts parts, std::shared_ptr<BufferPool> pool)
      : parts_(std::move(parts)), pool_(std::move(pool)) {}

  void run(torch::jit::Stack& stack) const override {
    const at::Tensor a = resolved(stack[0]), b = resolved(stack[1]);
    stack.clear();
    if (fits(a, b)) {
      dnn::Sizes key = a.sizes().vec();
      for (const auto part : {a.strides(), b.sizes(), b.strides()})
        key.insert(key.end(), part.begin(), part.end());
      const auto kernel = kernels_.get(key, [&] {
        return dnn::product({a.sizes().vec(), a.strides().vec()},
                            {b.sizes().vec(), b.strides().vec()});
      });
      if (kernel) {
        const at::Tensor y = dense(*pool_, kernel->destination());
        const auto scratch = pool_->bytes(kernel->scratch_bytes());
        kernel->run(a.data_ptr<float>(), b.data_ptr<float>(), y.data_ptr<float>(), scratch.get());
        stack.emplace_back(y);
        return;
      }
    }
    stack.emplace_back(parts_.run({a, b}));
  }

 private:
  static bool fits(const at::Tensor& a, const at::Tensor& b) {
    const auto plain = [](const at::Tensor& x) {
      return is_readable(x) && x.numel() > 0 &&
             std::all_of(x.strides().begin(), x.strides().end(),
                         [](std::int64_t stride) { return stride > 0; });
    };
    const std::int64_t rank = a.dim();
    return rank >= 2 && b.dim() == rank && plain(a) && plain(b) && a.size(-1) == b.size(-2) &&
           a.sizes().slice(0, rank - 2) == b.sizes().slice(0, rank - 2);
  }

  Parts parts_;
  std::shared_ptr<BufferPool> pool_;
  CacheOf<std::shared_ptr<const dnn::Product>> kernels_;
};

class SoftmaxStep final : public Step {
 public:
  SoftmaxStep(Parts parts, std::shared_ptr<BufferPool> pool)
      : parts_(std::move(parts)), pool_(std::move(pool)) {}

  void run(torch::jit::Stack& stack) const override {
    const at::Tensor x = resolved(stack[0]);
    stack.clear();
    if (is_readable(x) && x.dim() > 0 && x.numel() > 0 && x.is_contiguous()) {
      const std::int64_t columns = x.size(-1), rows = x.numel() / columns;
      const auto kernel =
          kernels_.get({rows, columns}, [&] { return dnn::softmax(rows, columns); });
      if (kernel) {
        const at::Tensor y = dense(*pool_, x.sizes());
        const auto scratch = pool_->bytes(kernel->scratch_bytes());
        kernel->run(x.data_ptr<float>(), nullptr, nullptr, y.data_ptr<float>(), scratch.get());
        stack.emplace_back(y);
        return;
      }
    }
    stack.emplace_back(parts_.run({x}));
  }

 private:
  Parts parts_;
  std::shared_ptr<BufferPool> pool_;
  CacheOf<std::shared_ptr<const dnn::Kernel>> kernels_;
};

// A step without weights, and a kernel of oneDNN's in place of ATen's.
template <class KernelStep>
class PlainBlueprint final : public Blueprint {
 public:
  PlainBlueprint(std::string name, std::size_t arguments, Parts parts)
      : name_(std::move(name)), arguments_(arguments), parts_(std::move(parts)) {}

  [[nodiscard]] std::string signature() const override { return name_; }
  [[nodiscard]] bool makes_images() const override { return false; }
  [[nodiscard]] bool takes_any_strides() const override { return true; }
  [[nodiscard]] std::vector<Variant> variants(
      const std::vector<dnn::Sizes>& /*inputs*/) const override {
    const std::vector<Layout> in(arguments_, Layout::plain);
    return {{"oneDNN", in, Layout::plain, {}, false}, {"aten plain", in, Layout::plain, {}, true}};
  }
  [[nodiscard]] std::shared_ptr<const Step> make(const Variant& variant,
                                                 const std::vector<dnn::Sizes>& /*inputs*/,
                                                 std::shared_ptr<BufferPool> pool) const override {
    if (variant.aten)
      return by_aten(parts_, {}, {});
    return std::make_shared<KernelStep>(parts_, std::move(pool));
  }

 private:
  std::string name_;
  std::size_t arguments_;
  Parts parts_;
};

class AgnosticBlueprint final : public Blueprint {
 public:
  AgnosticBlueprint(std::string op, std::shared_ptr<const Step> step, std::size_t arguments)
      : op_(std::move(op)), step_(std::move(step)), arguments_(arguments) {}

  [[nodiscard]] std::string signature() const override { return op_; }
  [[nodiscard]] std::vector<Variant> variants(
      const std::vector<dnn::Sizes>& /*inputs*/) const override {
    return {{"channels_last",
             std::vector(arguments_, Layout::channels_last),
             Layout::channels_last,
             {},
             true},
            {"plain", std::vector(arguments_, Layout::plain), Layout::plain, {}, true}};
  }
  [[nodiscard]] std::shared_ptr<const Step> make(
      const Variant& /*variant*/, const std::vector<dnn::Sizes>& /*inputs*/,
      std::shared_ptr<BufferPool> /*pool*/) const override {
    return step_;
  }

 private:
  std::string op_;
  std::shared_ptr<const Step> step_;
  std::size_t arguments_;
};

}  // namespace

std::unique_ptr<Blueprint> convolution_blueprint(dnn::ConvolutionForm form, at::Tensor weights,
                                                 at::Tensor bias, Parts parts,
                                                 std::uint32_t weights_constant) {
  return std::make_unique<ConvolutionBlueprint>(
      std::move(form), std::move(weights), std::move(bias), std::move(parts), weights_constant);
}

std::unique_ptr<Blueprint> linear_blueprint(dnn::LinearForm form, at::Tensor weights,
                                            at::Tensor bias, Parts parts,
                                            std::uint32_t weights_constant) {
  return std::make_unique<LinearBlueprint>(form, std::move(weights), std::move(bias),
                                           std::move(parts), weights_constant);
}

std::unique_ptr<Blueprint> pooling_blueprint(PoolingShape shape, Parts parts) {
  return std::make_unique<PoolingBlueprint>(shape, std::move(parts));
}

std::unique_ptr<Blueprint> product_blueprint(Parts parts) {
  return std::make_unique<PlainBlueprint<ProductStep>>("product", 2, std::move(parts));
}

std::unique_ptr<Blueprint> softmax_blueprint(Parts parts) {
  return std::make_unique<PlainBlueprint<SoftmaxStep>>("softmax", 1, std::move(parts));
}

std::unique_ptr<Blueprint> agnostic_blueprint(std::string op, std::shared_ptr<const Step> step,
                                              std::size_t arguments) {
  return std::make_unique<AgnosticBlueprint>(std::move(op), std::move(step), arguments);
}

}  // namespace cleave::inline v0::model
