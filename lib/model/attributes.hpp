// Attributes that a network assigns while it runs, turned into ordinary values of its graph.
#pragma once

#include "lib/model/torch_pch.hpp"

#include <optional>
#include <string>
#include <vector>

namespace cleave::inline v0::model {

/// The names from the module (the graph's first input) down to an object, "encoder", "0"; nothing
/// if the object is not reached by attributes alone.
std::optional<std::vector<std::string>> path_to(const torch::jit::Value* object,
                                                const torch::jit::Value* self);

/// What forward() assigns to attributes of the module becomes a variable of the pass, through
/// branches and loops: it starts as what the module holds, and ends with the pass.
void assignments_to_values(torch::jit::Graph& graph, const torch::jit::Module& module);

/// Objects that the graph makes, fills and reads become the values that they hold. Those that go
/// somewhere else, into a list or out of a branch, stay objects.
void objects_to_values(torch::jit::Graph& graph);

}  // namespace cleave::inline v0::model
