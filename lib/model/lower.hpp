// From a TorchScript module to a graph of operators: evaluation mode, frozen, inlined, tidied.
#pragma once

#include "lib/model/torch_pch.hpp"

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>

#include <cstddef>
#include <limits>
#include <memory>
#include <set>
#include <string>

namespace cleave::inline v0::model {

struct LowerOptions {
  /// How many arguments of forward() are inputs; those after keep their default values.
  std::size_t inputs = std::numeric_limits<std::size_t>::max();
  /// Operators ("aten::einsum"), beside those known, that may give their arguments' memory back
  /// although their schema says that they do not.
  std::set<std::string> sharing;
};

/// A copy of the module's forward() as one graph whose inputs are the values that a caller gives
/// and whose nodes carry the layer they belong to as their scope. Weights are constants of the
/// graph. The module is not changed. Where the graph changes values in place, operators whose
/// schema denies the memory they share are followed by shares_memory nodes.
///
/// An attribute that forward() assigns is taken for a variable of the pass, which starts from what
/// the file holds; see assigns_attributes().
CLEAVE_EXPORT core::Result<std::shared_ptr<torch::jit::Graph>> lower(
    const torch::jit::Module& module, const LowerOptions& options = {});

/// Replaces operators that work in place by those that do not, where libtorch's alias analysis says
/// that nothing else sees the difference. It believes what operators declare.
void remove_mutation(const std::shared_ptr<torch::jit::Graph>& graph);

/// Whether a node anywhere in the block declares to change one of its arguments.
bool writes_in_place(const torch::jit::Block* block);

/// Whether forward() assigns attributes of the module. Whether that is harmless, because each gets
/// the value that it has already, only a pass can tell.
bool assigns_attributes(const torch::jit::Module& module);

}  // namespace cleave::inline v0::model
