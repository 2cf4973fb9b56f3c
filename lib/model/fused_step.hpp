// Steps made of several operators that one oneDNN kernel performs, and the ways to perform them.
#pragma once

#include "lib/model/layout.hpp"
#include "lib/model/plan.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace cleave::inline v0::model {

/// One way to perform a step: by which kernel, from and to which layouts.
struct Variant {
  std::string name;        ///< "winograd blocked"; unique within a blueprint
  std::vector<Layout> in;  ///< one per argument
  Layout out = Layout::plain;
  dnn::ConvolutionMethod method = dnn::ConvolutionMethod::direct;
  bool aten = false;  ///< by ATen's own operators
};

/// A step that is yet to be made: what it computes, with its weights as the model has them.
class Blueprint {
 public:
  virtual ~Blueprint() = default;
  /// Equal for two that differ only in their weights' values: their variants take equal times.
  [[nodiscard]] virtual std::string signature() const = 0;
  /// For arguments of these sizes; the first can always be made. Never empty.
  [[nodiscard]] virtual std::vector<Variant> variants(
      const std::vector<dnn::Sizes>& inputs) const = 0;
  /// Whether what it makes are images, whose layout is to be chosen.
  [[nodiscard]] virtual bool makes_images() const { return true; }
  /// Whether arguments that are no images may lie in any strides.
  [[nodiscard]] virtual bool takes_any_strides() const { return false; }
  /// Packs the weights for it; null if this machine has no such kernel.
  [[nodiscard]] virtual std::shared_ptr<const Step> make(
      const Variant& variant, const std::vector<dnn::Sizes>& inputs,
      std::shared_ptr<BufferPool> pool) const = 0;
};

/// The operators that a fused step stands for, run one after the other: for arguments that no
/// kernel takes (another element type, another number of dimensions, on another device).
class Parts {
 public:
  Parts() = default;
  /// `members` are steps of the plan in order; `inputs` the slots that they read from outside.
  /// `result` is the slot of the last one's result.
  Parts(const Plan& plan, std::span<const std::uint32_t> members,
        std::span<const std::uint32_t> inputs, std::uint32_t result);

  /// Lets go of a constant; run() is then given it. The value is one of the plan's constants.
  void release(std::uint32_t constant);
  [[nodiscard]] at::Tensor run(const std::vector<at::Tensor>& inputs,
                               const at::Tensor& released = {}) const;

 private:
  struct Operand {
    std::uint32_t index = 0;
    bool constant = false;
  };
  struct Part {
    std::shared_ptr<const Step> step;
    std::vector<Operand> arguments;
    std::vector<std::uint32_t> results;
  };
  std::vector<Part> parts_;
  std::vector<c10::IValue> constants_;
  std::vector<std::uint32_t> constant_ids_;  // in the plan
  std::optional<std::size_t> released_;      // index into constants_
  std::uint32_t values_ = 0, result_ = 0;
};

/// `sum`: a second argument is added before the activation.
std::unique_ptr<Blueprint> convolution_blueprint(dnn::ConvolutionForm form, at::Tensor weights,
                                                 at::Tensor bias, Parts parts,
                                                 std::uint32_t weights_constant);
std::unique_ptr<Blueprint> linear_blueprint(dnn::LinearForm form, at::Tensor weights,
                                            at::Tensor bias, Parts parts,
                                            std::uint32_t weights_constant);
/// Sizes of the output come from the input's and these.
struct PoolingShape {
  dnn::PoolingForm form;
  bool global = false;  ///< over all of the image
  bool ceil = false;    ///< a last window may reach beyond the padding
};
std::unique_ptr<Blueprint> pooling_blueprint(PoolingShape shape, Parts parts);
/// A product of two values, aten::matmul or aten::bmm.
std::unique_ptr<Blueprint> product_blueprint(Parts parts);
/// aten::softmax over the last dimension.
std::unique_ptr<Blueprint> softmax_blueprint(Parts parts);
/// An operator that ATen performs in whatever layout its images lie, giving its results in the
/// same.
std::unique_ptr<Blueprint> agnostic_blueprint(std::string op, std::shared_ptr<const Step> step,
                                              std::size_t arguments);

}  // namespace cleave::inline v0::model
