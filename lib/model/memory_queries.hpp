// What libtorch's alias analysis says of a graph, asked for containers and what they hold together.
#pragma once

#include "lib/model/torch_pch.hpp"

#include <memory>
#include <unordered_map>
#include <vector>

namespace cleave::inline v0::model {

/// Answers for one graph, which must not change meanwhile. Answers err on the side of yes, for all
/// inputs that the graph may be given; operators are believed (see shares_memory.hpp).
class MemoryQueries {
 public:
  explicit MemoryQueries(const std::shared_ptr<torch::jit::Graph>& graph);

  /// Whether a node, or one in its blocks, may change a value or something that it holds.
  bool may_write(torch::jit::Node* node, torch::jit::Value* value);
  /// The same, but for changes of a container itself, such as append(): of tensors' elements only.
  bool may_write_elements(torch::jit::Node* node, torch::jit::Value* value);
  /// Whether two values, or what they hold, may share memory.
  [[nodiscard]] bool may_share(torch::jit::Value* a, torch::jit::Value* b) const {
    return aliases_.mayContainAlias(a, b);
  }

 private:
  const std::vector<torch::jit::Value*>& written_by(torch::jit::Node* node);

  torch::jit::AliasDb aliases_;
  std::unordered_map<torch::jit::Node*, std::vector<torch::jit::Value*>> written_;
};

/// Lists, dictionaries and whatever may hold some.
bool is_container(const c10::Type& type);
/// Whether a type can hold nothing that is changed in place: numbers, strings and the like.
bool is_scalar(const c10::Type& type);

}  // namespace cleave::inline v0::model
