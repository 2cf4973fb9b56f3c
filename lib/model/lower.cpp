#include "lib/model/lower.hpp"

#include "lib/model/guard.hpp"

#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/freeze_module.h>
#include <torch/csrc/jit/passes/frozen_graph_optimizations.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/passes/loop_unrolling.h>
#include <torch/csrc/jit/passes/lower_tuples.h>
#include <torch/csrc/jit/passes/peephole.h>
#include <torch/csrc/jit/passes/remove_mutation.h>

#include <string>
#include <unordered_map>
#include <vector>

namespace cleave::inline v0::model {
namespace {

namespace jit = torch::jit;
using core::Errc;
using core::fail;

// "features.3.weight" -> "features.3"; "" if there is no module before the name.
std::string parent(const std::string& name) {
  const auto dot = name.rfind('.');
  return dot == std::string::npos ? "" : name.substr(0, dot);
}

using Owners = std::unordered_map<const void*, std::string>;

// Which module owns the weight at an address.
Owners owners(const jit::Module& module) {
  Owners result;
  const auto add = [&](const std::string& name, const at::Tensor& tensor) {
    if (tensor.defined() && tensor.has_storage() && tensor.numel() > 0)
      result.emplace(tensor.data_ptr(), parent(name));
  };
  for (const auto& parameter : module.named_parameters()) add(parameter.name, parameter.value);
  for (const auto& buffer : module.named_buffers()) add(buffer.name, buffer.value);
  return result;
}

// The modules whose methods were inlined to give this node: "layer1.0.conv2".
std::string called_in(jit::Node* node) {
  std::string path;
  if (!node->callstack())
    return path;
  for (const auto& entry : (*node->callstack())->vec()) {
    const auto& instance = std::get<2>(entry);
    if (!instance)
      continue;
    const std::string name = instance->instance_name();
    if (name.empty() || name == "SELF" || name == "INSTANCE_NAME_UNKNOWN" ||
        name == "UNKNOWN_INSTANCE")
      continue;
    path += (path.empty() ? "" : ".") + name;
  }
  return path;
}

// Writes each node's layer into its scope, where it survives the passes that follow. A weight's
// owner says it best (a ModuleList does not show in the call stack); a node without weights belongs
// to the module whose method it came from, else to the layer that made what it works on.
void name_layers(jit::Block* block, const Owners& owners, const std::string& outer) {
  for (jit::Node* node : block->nodes()) {
    std::string layer = called_in(node);
    std::string fed_by;
    for (jit::Value* input : node->inputs()) {
      if (const auto constant = jit::toIValue(input)) {
        if (!constant->isTensor() || !constant->toTensor().has_storage())
          continue;
        const auto found = owners.find(constant->toTensor().data_ptr());
        if (found != owners.end() && found->second.size() >= layer.size())
          layer = found->second;
      } else if (fed_by.empty()) {
        fed_by = input->node()->scopeName();
      }
    }
    if (layer.empty())
      layer = fed_by.empty() ? outer : fed_by;
    auto scope = c10::make_intrusive<jit::Scope>();
    if (!layer.empty())
      scope = scope->push(c10::Symbol::scope(layer));
    node->setScope(scope);
    for (jit::Block* inner : node->blocks()) name_layers(inner, owners, layer);
  }
}

}  // namespace

core::Result<std::shared_ptr<jit::Graph>> lower(const jit::Module& module) {
  return guarded(Errc::unsupported, "", [&]() -> core::Result<std::shared_ptr<jit::Graph>> {
    if (!module.find_method("forward"))
      return fail(Errc::unsupported, "the model has no forward() method");
    at::NoGradGuard no_grad;
    jit::Module copy = module.clone(/*inplace=*/true);  // shares tensors, not the modes
    copy.eval();
    jit::Module frozen = jit::freeze_module(copy);
    auto graph = frozen.get_method("forward").graph();
    jit::Inline(*graph);
    name_layers(graph->block(), owners(module), "");
    jit::OptimizeFrozenGraph(graph, /*optimize_numerics=*/true);
    jit::UnrollConstantLoops(graph);
    jit::ConstantPropagation(graph);
    jit::PeepholeOptimize(graph);
    jit::ConstantPropagation(graph);
    jit::LowerSimpleTuples(graph);
    jit::EliminateDeadCode(graph);
    if (graph->inputs().empty() || !graph->inputs()[0]->uses().empty())
      return fail(Errc::unsupported,
                  "the model changes its own attributes when it runs, or returns itself", "",
                  "a model that can be cut must be a function of its inputs");
    graph->eraseInput(0);
    return graph;
  });
}

void remove_mutation(const std::shared_ptr<jit::Graph>& graph) {
  jit::RemoveListMutation(graph);
  jit::RemoveTensorMutation(graph);
  jit::EliminateDeadCode(graph);
}

}  // namespace cleave::inline v0::model
