// Says in the graph what some operators keep silent about: that they may give back the memory of
// their arguments. libtorch's passes and its alias analysis believe the schemas, and those of
// dropout in evaluation, einsum, atleast_2d and others are wrong.
#pragma once

#include "lib/model/torch_pch.hpp"

#include <set>
#include <string>

namespace cleave::inline v0::model {

/// The operators that are known for it, by name.
const std::set<std::string>& undeclared_sharers();

/// After every node of such an operator (or of one in `more`) puts cleave::shares_memory nodes,
/// which hand the result on and declare that it may be memory of the argument.
void declare_sharing(torch::jit::Block* block, const std::set<std::string>& more);

/// Whether it is such a node: its second input is the value, its first the memory.
bool is_sharing_note(const torch::jit::Node* node);

}  // namespace cleave::inline v0::model
