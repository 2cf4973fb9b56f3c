#include "lib/model/shares_memory.hpp"

#include <torch/csrc/jit/runtime/custom_operator.h>
#include <torch/csrc/jit/runtime/operator.h>

#include <vector>

namespace cleave::inline v0::model {
namespace {

namespace jit = torch::jit;

c10::Symbol note_kind() {
  return c10::Symbol::fromQualString("cleave::shares_memory");
}

void hand_on(jit::Stack& stack) {
  c10::IValue value = jit::pop(stack);
  stack.back() = std::move(value);
}

// The interpreter must be able to run the nodes inside control flow, so they are operators.
void register_notes() {
  static const bool once = [] {
    if (!jit::getAllOperatorsFor(note_kind()).empty())
      return true;  // another copy of this library in the program did
    const auto note = [](const char* schema) {
      return jit::Operator(schema, hand_on, c10::AliasAnalysisKind::FROM_SCHEMA);
    };
    const jit::RegisterOperators registered({
        note("cleave::shares_memory.tensor(Tensor(a) memory, Tensor value) -> Tensor(a)"),
        // As aten::__getitem__: something out of the list.
        note("cleave::shares_memory.item(Tensor[](a) memory, Tensor value) -> Tensor(*)"),
        note("cleave::shares_memory.list(Tensor[](a) memory, Tensor[] value) -> Tensor[](a)"),
        note("cleave::shares_memory.parts(Tensor(a -> *) memory, Tensor[] value) -> Tensor[]"),
    });
    return true;
  }();
  static_cast<void>(once);
}

bool is_tensor(const jit::Value* value) {
  return value->type()->isSubtypeOf(*c10::TensorType::get());
}

bool is_list(const jit::Value* value) {
  return value->type()->isSubtypeOf(*c10::ListType::ofTensors());
}

}  // namespace

const std::set<std::string>& undeclared_sharers() {
  static const std::set<std::string> names = {
      "aten::_cast_Byte",
      "aten::_cast_Char",
      "aten::_cast_Double",
      "aten::_cast_Float",
      "aten::_cast_Half",
      "aten::_cast_Int",
      "aten::_cast_Long",
      "aten::_cast_Short",
      "aten::_sobol_engine_scramble_",
      "aten::_unsafe_view",
      "aten::alpha_dropout",
      "aten::atleast_1d",
      "aten::atleast_2d",
      "aten::atleast_3d",
      "aten::broadcast_tensors",
      "aten::cartesian_prod",
      "aten::chain_matmul",
      "aten::conj_physical",
      "aten::data",
      "aten::dequantize",
      "aten::dropout",
      "aten::einsum",
      "aten::feature_alpha_dropout",
      "aten::feature_dropout",
      "aten::linalg_multi_dot",
      "aten::meshgrid",
      "aten::native_dropout",
      "aten::sum_to_size",
      "aten::to_dense",
      "aten::type_as",
      "aten::unflatten_dense_tensors",
  };
  return names;
}

bool is_sharing_note(const jit::Node* node) {
  return node->kind() == note_kind();
}

void declare_sharing(jit::Block* block, const std::set<std::string>& more) {
  register_notes();
  std::vector<jit::Node*> nodes(block->nodes().begin(), block->nodes().end());
  for (jit::Node* node : nodes) {
    for (jit::Block* inner : node->blocks()) declare_sharing(inner, more);
    const std::string name = node->kind().toQualString();
    if (!undeclared_sharers().count(name) && !more.count(name))
      continue;
    for (jit::Value* output : node->outputs()) {
      if (!is_tensor(output) && !is_list(output))
        continue;
      jit::Value* value = output;
      jit::Node* after = node;
      for (jit::Value* memory : node->inputs()) {
        if (!is_tensor(memory) && !is_list(memory))
          continue;
        jit::Node* note = block->owningGraph()->create(note_kind(), {memory, value});
        note->output()->setType(output->type());
        note->insertAfter(after);
        note->copyMetadata(node);
        value->replaceAllUsesAfterNodeWith(note, note->output());
        value = note->output();
        after = note;
      }
    }
  }
}

}  // namespace cleave::inline v0::model
