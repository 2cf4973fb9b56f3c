// Convolutions and linear layers, whose weights are packed once for oneDNN's kernels.
#include "lib/model/kernel_step.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace cleave::inline v0::model {
namespace {

const float* data_of(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.data_ptr<float>() : nullptr;
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

std::string suffix_of(const dnn::Activation& activation) {
  return " act " + std::to_string(static_cast<int>(activation.kind)) + ' ' +
         std::to_string(activation.alpha) + ' ' + std::to_string(activation.beta);
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
           suffix_of(form_.activation);
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
           (form_.bias ? " bias" : "") + (form_.sum ? " sum" : "") + suffix_of(form_.activation);
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

}  // namespace cleave::inline v0::model
