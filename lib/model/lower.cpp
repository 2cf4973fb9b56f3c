#include "lib/model/lower.hpp"

#include "lib/model/attributes.hpp"
#include "lib/model/guard.hpp"
#include "lib/model/shares_memory.hpp"

#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/freeze_module.h>
#include <torch/csrc/jit/passes/frozen_graph_optimizations.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/passes/loop_unrolling.h>
#include <torch/csrc/jit/passes/lower_tuples.h>
#include <torch/csrc/jit/passes/peephole.h>
#include <torch/csrc/jit/passes/remove_mutation.h>
#include <torch/csrc/jit/passes/shape_analysis.h>

#include <optional>
#include <set>
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

std::string joined(const std::vector<std::string>& path) {
  std::string text;
  for (const std::string& name : path) text += (text.empty() ? "" : ".") + name;
  return text;
}

template <class F>
void for_each_node(const jit::Block* block, const F& f) {
  for (jit::Node* node : const_cast<jit::Block*>(block)->nodes()) {
    f(node);
    for (const jit::Block* inner : node->blocks()) for_each_node(inner, f);
  }
}

// Gives the arguments that are no inputs their default values.
core::Result<void> bind_defaults(jit::Graph& graph, const c10::FunctionSchema& schema,
                                 std::size_t inputs) {
  const auto& arguments = schema.arguments();  // the module itself is the first
  while (graph.inputs().size() > 1 && graph.inputs().size() - 1 > inputs) {
    const std::size_t last = graph.inputs().size() - 1;
    if (last >= arguments.size() || !arguments[last].default_value())
      return {};  // the caller is told how many inputs there are
    const jit::WithInsertPoint at_the_top(*graph.nodes().begin());
    graph.inputs()[last]->replaceAllUsesWith(
        graph.insertConstant(*arguments[last].default_value()));
    graph.eraseInput(last);
  }
  return {};
}

// What is left of the module in its frozen graph: the attributes that it changes.
tl::unexpected<core::Error> changes_itself(const jit::Graph& graph) {
  const jit::Value* self = graph.inputs()[0];
  std::set<std::string> names;
  for_each_node(graph.block(), [&](jit::Node* node) {
    const bool set = node->kind() == c10::prim::SetAttr;
    if (!set && node->kind() != c10::prim::GetAttr)
      return;
    if (!set && node->output()->type()->kind() == c10::TypeKind::ClassType)
      return;
    const auto path = path_to(node->input(0), self);
    if (!path)
      return;  // of an object that the graph makes itself
    const std::string layer = joined(*path);
    names.insert("'" + node->s(c10::attr::name) + "' of " +
                 (layer.empty() ? "the model itself" : "layer '" + layer + "'"));
  });
  if (names.empty())
    return fail(Errc::unsupported, "the model uses itself as a value when it runs", "",
                "a model that can be cut must be a function of its inputs");
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  return fail(Errc::unsupported,
              std::string("the model changes its own ") +
                  (names.size() == 1 ? "attribute " : "attributes ") + list + " when it runs",
              "", "a model that can be cut must be a function of its inputs");
}

// A library prints nothing by itself; a network that warns of its own export would at every pass.
void remove_warnings(jit::Block* block) {
  std::vector<jit::Node*> nodes(block->nodes().begin(), block->nodes().end());
  for (jit::Node* node : nodes) {
    if (node->kind() == c10::aten::warn)
      node->destroy();
    else
      for (jit::Block* inner : node->blocks()) remove_warnings(inner);
  }
}

// Operators that give a tensor another shape or another memory in place. libtorch's passes merge
// values that are different tensors over one memory, such as x and x.detach(), and so change both.
std::optional<std::string> reshapes_in_place(const jit::Block* block) {
  static const std::set<std::string> names = {
      "aten::as_strided_", "aten::resize_",    "aten::resize_as_", "aten::set_",
      "aten::set_data",    "aten::squeeze_",   "aten::swapaxes_",  "aten::swapdims_",
      "aten::t_",          "aten::transpose_", "aten::unsqueeze_"};
  std::optional<std::string> found;
  for_each_node(block, [&](jit::Node* node) {
    if (const std::string name = node->kind().toQualString(); names.count(name))
      found = name;
  });
  return found;
}

}  // namespace

bool writes_in_place(const jit::Block* block) {
  bool writes = false;
  for_each_node(block, [&](jit::Node* node) {
    const auto* schema = node->maybeSchema();
    writes = writes || (schema && schema->is_mutable());
  });
  return writes;
}

bool assigns_attributes(const jit::Module& module) {
  const auto graph = module.get_method("forward").graph()->copy();
  jit::Inline(*graph);
  bool assigns = false;
  for_each_node(graph->block(),
                [&](jit::Node* node) { assigns = assigns || node->kind() == c10::prim::SetAttr; });
  return assigns;
}

core::Result<std::shared_ptr<jit::Graph>> lower(const jit::Module& module,
                                                const LowerOptions& options) {
  return guarded(Errc::unsupported, "", [&]() -> core::Result<std::shared_ptr<jit::Graph>> {
    if (!module.find_method("forward"))
      return fail(Errc::unsupported, "the model has no forward() method");
    at::NoGradGuard no_grad;
    jit::Module copy = module.clone(/*inplace=*/true);  // shares tensors, not the modes
    copy.eval();
    {
      const auto plain = copy.get_method("forward").graph();
      jit::Inline(*plain);
      // A traced graph remembers the sizes of the example that it was traced with.
      jit::EraseShapeInformation(plain);
      if (auto bound = bind_defaults(*plain, copy.get_method("forward").function().getSchema(),
                                     options.inputs);
          !bound)
        return fail(bound);
      remove_warnings(plain->block());
      assignments_to_values(*plain, copy);
      if (const auto found = reshapes_in_place(plain->block()))
        return fail(
            Errc::unsupported,
            *found + " changes a tensor's shape or memory in place, which cannot be followed", "",
            "write x = x.t() for x.t_(), and so on");
      // Freezing reorders and merges nodes already.
      if (writes_in_place(plain->block()))
        declare_sharing(plain->block(), options.sharing);
    }
    jit::Module frozen = jit::freeze_module(copy);
    auto graph = frozen.get_method("forward").graph();
    jit::Inline(*graph);
    name_layers(graph->block(), owners(module), "");
    jit::OptimizeFrozenGraph(graph, /*optimize_numerics=*/true);
    jit::UnrollConstantLoops(graph);
    jit::ConstantPropagation(graph);
    jit::PeepholeOptimize(graph);
    jit::ConstantPropagation(graph);
    objects_to_values(*graph);
    jit::LowerSimpleTuples(graph);
    jit::ConstantPropagation(graph);
    jit::EliminateDeadCode(graph);
    if (graph->inputs().empty() || !graph->inputs()[0]->uses().empty())
      return changes_itself(*graph);
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
