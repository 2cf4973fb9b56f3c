#include "lib/model/attributes.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <utility>

namespace cleave::inline v0::model {
namespace {

namespace jit = torch::jit;
namespace prim = c10::prim;

// An attribute of one object, whatever the way to it: the address of the object, or of the node
// that makes it.
using Attribute = std::pair<const void*, std::string>;
using Variables = std::map<Attribute, jit::Value*>;

std::vector<jit::Node*> nodes_of(jit::Block* block) {
  return {block->nodes().begin(), block->nodes().end()};
}

// Static single assignment (Cytron et al. 1991) over TorchScript's structured control flow, where
// values meet only behind branches and at the head of loops.
class Renamer {
 public:
  /// `identify` tells which attribute a prim::GetAttr or prim::SetAttr is about, if any; `start`
  /// what one holds before the graph's first node, null if nothing.
  using Identify = std::function<std::optional<Attribute>(jit::Node*)>;
  using Start = std::function<jit::Value*(jit::Node* assignment)>;
  Renamer(Identify identify, Start start)
      : identify_(std::move(identify)), start_(std::move(start)) {}

  void run(jit::Graph& graph) {
    Variables variables;
    for (const auto& [attribute, assignment] : assigned_in(graph.block())) {
      types_[attribute] =
          assignment->input(0)->type()->expectRef<c10::ClassType>().getAttribute(attribute.second);
      if (jit::Value* value = start_(assignment))
        variables[attribute] = value;
    }
    if (!types_.empty())
      visit(graph.block(), variables);
    for (jit::Node* node : done_) node->destroy();
  }

 private:
  std::map<Attribute, jit::Node*> assigned_in(jit::Block* block) const {
    std::map<Attribute, jit::Node*> result;
    for (jit::Node* node : block->nodes()) {
      if (node->kind() == prim::SetAttr) {
        if (const auto attribute = identify_(node))
          result.emplace(*attribute, node);
      }
      for (jit::Block* inner : node->blocks()) result.merge(assigned_in(inner));
    }
    return result;
  }

  void visit(jit::Block* block, Variables& variables) {
    for (jit::Node* node : nodes_of(block)) {
      if (node->kind() == prim::SetAttr) {
        if (const auto attribute = identify_(node)) {
          variables[*attribute] = node->input(1);
          done_.push_back(node);
        }
      } else if (node->kind() == prim::GetAttr) {
        const auto attribute = identify_(node);
        const auto found = attribute ? variables.find(*attribute) : variables.end();
        if (found != variables.end() && found->second != node->output()) {
          node->output()->replaceAllUsesWith(found->second);
          done_.push_back(node);
        }
      } else if (node->kind() == prim::If) {
        visit_branches(node, variables);
      } else if (node->kind() == prim::Loop) {
        visit_loop(node, variables);
      } else {
        for (jit::Block* inner : node->blocks()) visit(inner, variables);
      }
    }
  }

  void visit_branches(jit::Node* node, Variables& variables) {
    std::vector<Variables> ends;
    for (jit::Block* branch : node->blocks()) {
      ends.push_back(variables);
      visit(branch, ends.back());
    }
    for (auto& [attribute, value] : variables) {
      const jit::Value* const before = value;
      if (std::all_of(ends.begin(), ends.end(),
                      [&](const Variables& end) { return end.at(attribute) == before; }))
        continue;
      for (std::size_t i = 0; i < ends.size(); ++i)
        node->blocks()[i]->registerOutput(ends[i].at(attribute));
      value = node->addOutput()->setType(types_.at(attribute));
    }
  }

  void visit_loop(jit::Node* node, Variables& variables) {
    jit::Block* body = node->blocks()[0];
    Variables inside = variables;
    std::vector<Attribute> carried;
    for (const auto& [attribute, assignment] : assigned_in(body)) {
      const auto found = variables.find(attribute);
      if (found == variables.end())
        continue;  // of an object made in the body
      carried.push_back(attribute);
      node->addInput(found->second);
      inside[attribute] = body->addInput()->setType(types_.at(attribute));
    }
    visit(body, inside);
    for (const Attribute& attribute : carried) {
      body->registerOutput(inside.at(attribute));
      variables[attribute] = node->addOutput()->setType(types_.at(attribute));
    }
  }

  Identify identify_;
  Start start_;
  std::map<Attribute, c10::TypePtr> types_;
  std::vector<jit::Node*> done_;
};

// What a value is once it is known not to be None.
jit::Value* without_casts(jit::Value* value) {
  while (value->node()->kind() == prim::unchecked_cast ||
         value->node()->kind() == prim::unchecked_unwrap_optional ||
         value->node()->kind() == c10::aten::_unwrap_optional)
    value = value->node()->input(0);
  return value;
}

void find_objects(jit::Block* block, std::set<jit::Node*>& objects) {
  for (jit::Node* node : block->nodes()) {
    if (node->kind() == prim::CreateObject)
      objects.insert(node);
    for (jit::Block* inner : node->blocks()) find_objects(inner, objects);
  }
}

// Whether all that is ever done with an object is to read and to assign its attributes.
bool stays_here(jit::Value* object) {
  return std::all_of(object->uses().begin(), object->uses().end(), [](const jit::Use& use) {
    const auto kind = use.user->kind();
    if (kind == prim::GetAttr || (kind == prim::SetAttr && use.offset == 0))
      return true;
    return (kind == prim::unchecked_cast || kind == prim::unchecked_unwrap_optional ||
            kind == c10::aten::_unwrap_optional) &&
           stays_here(use.user->output());
  });
}

}  // namespace

std::optional<std::vector<std::string>> path_to(const jit::Value* object, const jit::Value* self) {
  std::vector<std::string> path;
  while (object != self) {
    const jit::Node* node = object->node();
    if (node->kind() != prim::GetAttr)
      return std::nullopt;
    path.push_back(node->s(c10::attr::name));
    object = node->input(0);
  }
  std::reverse(path.begin(), path.end());
  return path;
}

void assignments_to_values(jit::Graph& graph, const jit::Module& module) {
  jit::Value* const self = graph.inputs()[0];
  const auto identify = [&](jit::Node* node) -> std::optional<Attribute> {
    const auto path = path_to(node->input(0), self);
    if (!path)
      return std::nullopt;
    auto object = module._ivalue();
    for (const std::string& name : *path) {
      const c10::IValue next = object->getAttr(name);
      if (!next.isObject())
        return std::nullopt;
      object = next.toObject();
    }
    return Attribute{object.get(), node->s(c10::attr::name)};
  };
  jit::Node* const first = *graph.nodes().begin();
  const auto start = [&](jit::Node* assignment) {
    const jit::WithInsertPoint at_the_top(first);
    jit::Value* object = self;
    const auto path = path_to(assignment->input(0), self);
    for (const std::string& name : *path) object = graph.insertGetAttr(object, name);
    return graph.insertGetAttr(object, assignment->s(c10::attr::name));
  };
  Renamer(identify, start).run(graph);
}

void objects_to_values(jit::Graph& graph) {
  std::set<jit::Node*> objects;
  find_objects(graph.block(), objects);
  for (auto it = objects.begin(); it != objects.end();)
    it = stays_here((*it)->output()) ? std::next(it) : objects.erase(it);
  const auto identify = [&](jit::Node* node) -> std::optional<Attribute> {
    jit::Node* made_by = without_casts(node->input(0))->node();
    if (!objects.count(made_by))
      return std::nullopt;
    return Attribute{made_by, node->s(c10::attr::name)};
  };
  Renamer(identify, [](jit::Node*) -> jit::Value* { return nullptr; }).run(graph);
}

}  // namespace cleave::inline v0::model
