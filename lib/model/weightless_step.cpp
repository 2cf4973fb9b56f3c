// Pools, products of two values and softmax by oneDNN's kernels, and operators that ATen performs
// in whatever layout their images lie.
#include "lib/model/kernel_step.hpp"

#include <algorithm>

namespace cleave::inline v0::model {
namespace {

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
