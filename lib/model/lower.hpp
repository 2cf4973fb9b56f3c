// From a TorchScript module to a graph of operators: evaluation mode, frozen, inlined, tidied.
#pragma once

#include "lib/model/torch_pch.hpp"

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>

#include <memory>

namespace cleave::inline v0::model {

/// A copy of the module's forward() as one graph whose inputs are the values that a caller gives
/// and whose nodes carry the layer they belong to as their scope. Weights are constants of the
/// graph. The module is not changed.
CLEAVE_EXPORT core::Result<std::shared_ptr<torch::jit::Graph>> lower(
    const torch::jit::Module& module);

/// Replaces operators that work in place by those that do not, where libtorch's alias analysis says
/// that nothing else sees the difference. Only for graphs in which no operator aliases undeclared.
void remove_mutation(const std::shared_ptr<torch::jit::Graph>& graph);

}  // namespace cleave::inline v0::model
