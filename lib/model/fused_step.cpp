#include "lib/model/fused_step.hpp"

#include "lib/model/kernel_step.hpp"

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

std::size_t bytes_of(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.nbytes() : 0;
}

std::int64_t elements_of(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.numel() : 0;
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

}  // namespace

std::shared_ptr<const Step> by_aten(const Parts& parts, const at::Tensor& weights,
                                    const at::Tensor& bias) {
  return std::make_shared<PartsStep>(parts, elements_of(weights) + elements_of(bias),
                                     bytes_of(weights) + bytes_of(bias));
}

at::Tensor resolved(c10::IValue& value) {
  at::Tensor tensor = std::move(value).toTensor();
  return tensor.defined() && tensor.is_neg() ? tensor.resolve_neg() : tensor;
}

at::Tensor dense(BufferPool& pool, at::IntArrayRef sizes) {
  dnn::Sizes strides(sizes.size(), 1);
  for (std::size_t d = sizes.size() - 1; d-- > 0;) strides[d] = strides[d + 1] * sizes[d + 1];
  return pool.tensor(sizes, strides, static_cast<std::size_t>(c10::multiply_integers(sizes)));
}

}  // namespace cleave::inline v0::model
