#include "lib/model/fingerprint.hpp"

#include <cleave/core/bytes.hpp>
#include <cleave/core/hash.hpp>

#include <torch/csrc/jit/passes/inliner.h>

#include <map>
#include <string>

namespace cleave::inline v0::model {
namespace {

namespace jit = torch::jit;

std::uint64_t combine(std::uint64_t hash, std::uint64_t next) {
  return core::hash_bytes(std::as_bytes(std::span(&next, 1)), hash);
}

std::uint64_t hash_tensor(const at::Tensor& tensor, std::uint64_t seed) {
  std::uint64_t hash = core::hash_text(c10::toString(tensor.scalar_type()), seed);
  for (const std::int64_t size : tensor.sizes())
    hash = combine(hash, static_cast<std::uint64_t>(size));
  if (tensor.layout() != c10::kStrided || tensor.is_quantized())
    return core::hash_text(tensor.toString(), hash);
  const at::Tensor bytes = tensor.detach().cpu().contiguous();
  return core::hash_bytes(
      std::span(static_cast<const std::byte*>(bytes.data_ptr()), bytes.nbytes()), hash);
}

std::uint64_t hash_tensors(const c10::IValue& value, std::uint64_t hash) {
  if (value.isTensor())
    return value.toTensor().defined() ? hash_tensor(value.toTensor(), hash) : hash;
  if (value.isList()) {
    const auto list = value.toList();
    for (std::size_t i = 0; i < list.size(); ++i) hash = hash_tensors(list.get(i), hash);
  } else if (value.isTuple()) {
    for (const auto& item : value.toTupleRef().elements()) hash = hash_tensors(item, hash);
  } else if (value.isGenericDict()) {
    for (const auto& entry : value.toGenericDict()) hash = hash_tensors(entry.value(), hash);
  }
  return hash;
}

void hash_constants(jit::Block* block, std::uint64_t& hash) {
  for (jit::Node* node : block->nodes()) {
    if (node->kind() == c10::prim::Constant) {
      if (const auto value = jit::toIValue(node->output()))
        hash = hash_tensors(*value, hash);
    }
    for (jit::Block* inner : node->blocks()) hash_constants(inner, hash);
  }
}

}  // namespace

std::vector<core::CutId> cut_ids(const Plan& plan) {
  std::vector<core::CutId> ids;
  std::uint64_t hash = combine(core::hash_text("cleave cut"), plan.inputs.size());
  ids.push_back({hash});
  for (const PlacedStep& step : plan.steps) {
    hash = combine(hash, step.hash);
    ids.push_back({hash});
  }
  return ids;
}

core::CutId cut_id(const Plan& plan, std::span<const core::StepRange> head) {
  std::uint64_t hash = combine(core::hash_text("cleave head"), plan.inputs.size());
  for (const core::StepRange& range : head) {
    for (std::uint32_t step = range.begin; step < range.end; ++step)
      hash = combine(combine(hash, step), plan.steps[step].hash);
  }
  return {hash};
}

std::uint64_t structure_hash(const Plan& plan) {
  std::uint64_t hash = combine(cut_ids(plan).back().value, plan.outputs.size());
  for (const Source& output : plan.outputs)
    hash = combine(hash, (std::uint64_t{output.constant} << 32) | output.index);
  return hash;
}

std::uint64_t weights_hash(const jit::Module& module) {
  std::uint64_t hash = core::hash_text("cleave weights");
  std::map<std::string, c10::IValue> attributes;
  for (const auto& attribute : module.named_attributes(/*recurse=*/true))
    attributes.emplace(attribute.name, attribute.value);
  for (const auto& [name, value] : attributes)
    hash = hash_tensors(value, core::hash_text(name, hash));
  const auto graph = module.get_method("forward").graph()->copy();
  jit::Inline(*graph);
  hash_constants(graph->block(), hash);
  return hash;
}

}  // namespace cleave::inline v0::model
