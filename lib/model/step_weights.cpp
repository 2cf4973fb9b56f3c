#include "lib/model/step_weights.hpp"

namespace cleave::inline v0::model {
namespace {

void add_weights(const c10::IValue& value, std::vector<WeightPiece>& pieces) {
  if (value.isTensor()) {
    const at::Tensor& tensor = value.toTensor();
    if (tensor.defined() && tensor.has_storage())
      pieces.push_back(
          {tensor.storage().unsafeGetStorageImpl(), tensor.numel(), tensor.storage().nbytes()});
  } else if (value.isList()) {
    const auto list = value.toList();
    for (std::size_t i = 0; i < list.size(); ++i) add_weights(list.get(i), pieces);
  }
}

// The constants inside a step's own control flow.
void add_weights(torch::jit::Node* node, std::vector<WeightPiece>& pieces) {
  for (torch::jit::Block* block : node->blocks()) {
    for (torch::jit::Node* inner : block->nodes()) {
      if (inner->kind() == c10::prim::Constant) {
        if (const auto value = torch::jit::toIValue(inner->output()))
          add_weights(*value, pieces);
      }
      add_weights(inner, pieces);
    }
  }
}

}  // namespace

std::vector<WeightPiece> weights_of(const Plan& plan, const PlacedStep& step) {
  std::vector<WeightPiece> pieces;
  for (const Source& source : step.arguments) {
    if (source.constant)
      add_weights(plan.constants[source.index], pieces);
  }
  if (step.node)
    add_weights(step.node, pieces);
  if (const std::size_t packed = step.step->weight_bytes(); packed > 0)
    pieces.push_back({step.step.get(), step.step->weight_elements(), packed});
  return pieces;
}

}  // namespace cleave::inline v0::model
