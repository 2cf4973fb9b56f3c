#include "lib/model/memory_queries.hpp"

namespace cleave::inline v0::model {
namespace {

namespace jit = torch::jit;

void collect_written(jit::Node* node, std::vector<jit::Value*>& written) {
  if (const auto* schema = node->maybeSchema()) {
    const auto& declared = schema->arguments();
    for (std::size_t i = 0; i < declared.size() && i < node->inputs().size(); ++i) {
      if (declared[i].alias_info() && declared[i].alias_info()->isWrite())
        written.push_back(node->input(i));
    }
  }
  for (jit::Block* block : node->blocks()) {
    for (jit::Node* inner : block->nodes()) collect_written(inner, written);
  }
}

// Whether a container's elements are such that others may hold them, too.
bool holds_containers(const c10::Type& type) {
  for (const auto& inner : type.containedTypes()) {
    if (is_container(*inner))
      return true;
  }
  return type.containedTypes().size() == 0;  // Any, an object: not known
}

}  // namespace

bool is_scalar(const c10::Type& type) {
  switch (type.kind()) {
    case c10::TypeKind::IntType:
    case c10::TypeKind::FloatType:
    case c10::TypeKind::BoolType:
    case c10::TypeKind::NumberType:
    case c10::TypeKind::StringType:
    case c10::TypeKind::NoneType:
    case c10::TypeKind::DeviceObjType:
      return true;
    default:
      return false;
  }
}

bool is_container(const c10::Type& type) {
  switch (type.kind()) {
    case c10::TypeKind::TensorType:
      return false;
    default:
      return !is_scalar(type);
  }
}

MemoryQueries::MemoryQueries(const std::shared_ptr<jit::Graph>& graph) : aliases_(graph) {}

const std::vector<jit::Value*>& MemoryQueries::written_by(jit::Node* node) {
  const auto [found, fresh] = written_.try_emplace(node);
  if (fresh)
    collect_written(node, found->second);
  return found->second;
}

bool MemoryQueries::may_write(jit::Node* node, jit::Value* value) {
  if (is_scalar(*value->type()))
    return false;
  if (aliases_.writesToAlias(node, {value}))
    return true;
  if (!is_container(*value->type()))
    return false;
  // libtorch asks about the container only. What is appended to another list does not change the
  // elements, but what changes an element does.
  for (jit::Value* written : written_by(node)) {
    if ((!is_container(*written->type()) || holds_containers(*value->type())) &&
        aliases_.mayContainAlias(value, written))
      return true;
  }
  return false;
}

bool MemoryQueries::may_write_elements(jit::Node* node, jit::Value* value) {
  if (is_scalar(*value->type()))
    return false;
  for (jit::Value* written : written_by(node)) {
    if (!is_container(*written->type()) && aliases_.mayContainAlias(value, written))
      return true;
  }
  return false;
}

}  // namespace cleave::inline v0::model
