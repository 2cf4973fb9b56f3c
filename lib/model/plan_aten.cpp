// One step a node of the graph: an operator of ATen, the building and taking apart of containers,
// or control flow, which libtorch's interpreter runs as a whole.
#include "lib/model/guard.hpp"
#include "lib/model/memory_queries.hpp"
#include "lib/model/plan.hpp"
#include "lib/model/shares_memory.hpp"
#include "lib/model/torch_pch.hpp"

#include <cleave/core/hash.hpp>

#include <sstream>
#include <unordered_map>
#include <unordered_set>

namespace cleave::inline v0::model {
namespace {

namespace jit = torch::jit;
namespace prim = c10::prim;
using core::Errc;
using core::fail;
using core::Result;

class OperatorStep final : public Step {
 public:
  explicit OperatorStep(jit::Operation operation) : operation_(std::move(operation)) {}
  void run(jit::Stack& stack) const override { operation_(stack); }

 private:
  // Calling an Operation is const in spirit, and libtorch's own interpreter shares them between
  // threads, but operator() is not declared so.
  mutable jit::Operation operation_;
};

class ListStep final : public Step {
 public:
  explicit ListStep(c10::TypePtr element) : element_(std::move(element)) {}
  void run(jit::Stack& stack) const override {
    c10::impl::GenericList list(element_);
    list.reserve(stack.size());
    for (auto& item : stack) list.push_back(std::move(item));
    stack.clear();
    stack.emplace_back(std::move(list));
  }

 private:
  c10::TypePtr element_;
};

class TupleStep final : public Step {
 public:
  /// `named` is null for a plain tuple.
  explicit TupleStep(c10::TupleTypePtr named) : named_(std::move(named)) {}
  void run(jit::Stack& stack) const override {
    std::vector<c10::IValue> items(std::make_move_iterator(stack.begin()),
                                   std::make_move_iterator(stack.end()));
    stack.clear();
    if (named_)
      stack.emplace_back(c10::ivalue::Tuple::createNamed(std::move(items), named_));
    else
      stack.emplace_back(c10::ivalue::Tuple::create(std::move(items)));
  }

 private:
  c10::TupleTypePtr named_;
};

class TupleUnpackStep final : public Step {
 public:
  void run(jit::Stack& stack) const override {
    const auto tuple = std::move(stack.back()).toTuple();
    stack.clear();
    for (const auto& item : tuple->elements()) stack.push_back(item);
  }
};

class ListUnpackStep final : public Step {
 public:
  explicit ListUnpackStep(std::size_t count) : count_(count) {}
  void run(jit::Stack& stack) const override {
    const auto list = std::move(stack.back()).toList();
    TORCH_CHECK(list.size() == count_, "a list of ", count_, " items is needed, not of ",
                list.size());
    stack.clear();
    for (std::size_t i = 0; i < count_; ++i) stack.push_back(list.get(i));
  }

 private:
  std::size_t count_;
};

// A node by itself, run by libtorch's interpreter: control flow, and whatever has no operator.
class InterpretedStep final : public Step {
 public:
  explicit InterpretedStep(std::shared_ptr<jit::Graph> graph) : code_(std::move(graph), "step") {}
  void run(jit::Stack& stack) const override { jit::InterpreterState(code_).run(stack); }

 private:
  jit::Code code_;
};

// The values that a node reads: its inputs, then what its blocks read from outside.
std::vector<jit::Value*> arguments_of(jit::Node* node) {
  std::vector<jit::Value*> arguments(node->inputs().begin(), node->inputs().end());
  std::unordered_set<jit::Value*> seen(arguments.begin(), arguments.end());
  std::unordered_set<jit::Value*> inner;
  const auto visit = [&](const auto& self, jit::Block* block) -> void {
    for (jit::Value* input : block->inputs()) inner.insert(input);
    const auto read = [&](jit::Value* value) {
      if (!inner.count(value) && seen.insert(value).second)
        arguments.push_back(value);
    };
    for (jit::Node* n : block->nodes()) {
      for (jit::Value* input : n->inputs()) read(input);
      for (jit::Block* b : n->blocks()) self(self, b);
      for (jit::Value* output : n->outputs()) inner.insert(output);
    }
    for (jit::Value* output : block->outputs()) read(output);
  };
  for (jit::Block* block : node->blocks()) visit(visit, block);
  return arguments;
}

std::shared_ptr<const Step> interpreted(jit::Node* node,
                                        const std::vector<jit::Value*>& arguments) {
  auto graph = std::make_shared<jit::Graph>();
  std::unordered_map<jit::Value*, jit::Value*> inner;
  for (jit::Value* argument : arguments) {
    if (!inner.count(argument))
      inner[argument] = graph->addInput()->setType(argument->type());
    else
      graph->addInput()->setType(argument->type());  // given twice: the second is not read
  }
  jit::Node* copy = graph->createClone(node, [&](jit::Value* value) { return inner.at(value); });
  graph->insertNode(copy);
  for (jit::Value* output : copy->outputs()) graph->registerOutput(output);
  return std::make_shared<InterpretedStep>(std::move(graph));
}

std::shared_ptr<const Step> step_for(jit::Node* node, const std::vector<jit::Value*>& arguments) {
  if (node->kind() == prim::ListConstruct) {
    return std::make_shared<ListStep>(
        node->output()->type()->expectRef<c10::ListType>().getElementType());
  }
  if (node->kind() == prim::TupleConstruct) {
    const auto type = node->output()->type()->expect<c10::TupleType>();
    return std::make_shared<TupleStep>(type->schema() ? type : nullptr);
  }
  if (node->kind() == prim::TupleUnpack)
    return std::make_shared<TupleUnpackStep>();
  if (node->kind() == prim::ListUnpack)
    return std::make_shared<ListUnpackStep>(node->outputs().size());
  // The interpreter itself waits, makes objects, and counts the arguments of those that take any.
  const auto* schema = node->maybeSchema();
  const bool by_interpreter = node->kind() == c10::aten::wait || node->kind() == c10::aten::warn ||
                              node->kind() == prim::CreateObject || node->kind() == prim::GetAttr ||
                              node->kind() == prim::SetAttr || (schema && schema->is_vararg());
  if (node->blocks().empty() && node->maybeOperator() && !by_interpreter)
    return std::make_shared<OperatorStep>(node->getOperation());
  return interpreted(node, arguments);
}

// Whether any node inside declares to change one of its arguments.
bool writes_inside(jit::Node* node) {
  for (jit::Block* block : node->blocks()) {
    for (jit::Node* inner : block->nodes()) {
      const auto* schema = inner->maybeSchema();
      if (schema && schema->is_mutable())
        return true;
      if (writes_inside(inner))
        return true;
    }
  }
  return false;
}

// What a constant adds to a step's identity: the shape of a weight, the value of anything else.
void describe(const c10::IValue& constant, std::ostream& out) {
  if (constant.isTensor()) {
    const at::Tensor& tensor = constant.toTensor();
    out << "tensor " << c10::toString(tensor.scalar_type()) << tensor.sizes();
  } else {
    out << constant.tagKind() << ' ';
    if (constant.isDouble())
      out << std::hexfloat << constant.toDouble() << std::defaultfloat;
    else
      out << constant;
  }
}

std::string op_name(jit::Node* node) {
  return node->kind().toQualString();
}

// The whole identity of a node as text: operator, overload, attributes, and what its blocks hold.
void describe(jit::Node* node, std::ostream& out) {
  out << op_name(node);
  if (const auto* schema = node->maybeSchema())
    out << '.' << schema->overload_name();
  for (jit::Value* output : node->outputs())
    out << ' ' << c10::typeKindToString(output->type()->kind());
  for (jit::Block* block : node->blocks()) {
    std::unordered_map<jit::Value*, std::size_t> numbers;
    const auto number = [&](jit::Value* value) {
      return numbers.emplace(value, numbers.size()).first->second;
    };
    out << " {";
    for (jit::Node* inner : block->nodes()) {
      if (inner->kind() == prim::Constant) {
        if (const auto constant = jit::toIValue(inner->output())) {
          out << number(inner->output()) << '=';
          describe(*constant, out);
          out << ';';
          continue;
        }
      }
      describe(inner, out);
      for (jit::Value* input : inner->inputs()) out << ' ' << number(input);
      out << " ->";
      for (jit::Value* output : inner->outputs()) out << ' ' << number(output);
      out << ';';
    }
    for (jit::Value* output : block->outputs()) out << ' ' << number(output);
    out << '}';
  }
}

class Planner {
 public:
  explicit Planner(std::shared_ptr<jit::Graph> graph) { plan_.graph = std::move(graph); }

  Result<Plan> run() {
    for (jit::Value* input : plan_.graph->inputs()) {
      plan_.inputs.push_back(add_slot(input, -1));
      plan_.input_names.push_back(input->debugNameBase());
    }
    for (jit::Node* node : plan_.graph->nodes()) {
      if (auto added = add(node); !added)
        return fail(added);
    }
    const auto last = static_cast<std::int64_t>(plan_.steps.size());
    for (jit::Value* output : plan_.graph->outputs()) {
      const Source source = use(output);
      if (!source.constant)
        plan_.slots[source.index].last_use = last;
      plan_.outputs.push_back(source);
    }
    mark_last_uses(plan_);
    return std::move(plan_);
  }

 private:
  std::uint32_t add_slot(jit::Value* value, std::int64_t step) {
    const auto slot = static_cast<std::uint32_t>(plan_.slots.size());
    plan_.slots.push_back({value->type(), step, -1, value});
    slot_of_[value] = slot;
    return slot;
  }

  Source use(jit::Value* value) {
    if (const auto found = constant_of_.find(value); found != constant_of_.end())
      return {found->second, true, false};
    return {slot_of_.at(value), false, false};
  }

  // A note is no step: its output is its value, of which it knows more.
  void pass_on(jit::Value* value, jit::Value* noted) {
    if (const auto found = constant_of_.find(value); found != constant_of_.end()) {
      constant_of_[noted] = found->second;
      return;
    }
    const std::uint32_t slot = slot_of_.at(value);
    slot_of_[noted] = slot;
    plan_.slots[slot].value = noted;
  }

  // The arguments that a node declares to change in place, itself or inside its blocks.
  std::vector<std::uint32_t> written_arguments(jit::Node* node,
                                               const std::vector<jit::Value*>& arguments) {
    std::vector<std::uint32_t> written;
    if (!node->blocks().empty()) {
      if (writes_inside(node)) {
        if (!memory_)
          memory_ = std::make_unique<MemoryQueries>(plan_.graph);
        for (std::uint32_t i = 0; i < arguments.size(); ++i) {
          if (memory_->may_write(node, arguments[i]))
            written.push_back(i);
        }
      }
    } else if (const auto* schema = node->maybeSchema()) {
      const auto& declared = schema->arguments();
      for (std::uint32_t i = 0; i < declared.size() && i < arguments.size(); ++i) {
        // update() declares to change the dictionary that it reads, too.
        if (declared[i].alias_info() && declared[i].alias_info()->isWrite() &&
            !(i == 1 && op_name(node) == "aten::update"))
          written.push_back(i);
      }
    }
    return written;
  }

  Result<void> add(jit::Node* node) {
    if (node->kind() == prim::Constant) {
      const auto value = jit::toIValue(node->output());
      if (!value)
        return fail(Errc::unsupported,
                    "a constant of type " + node->output()->type()->str() + " cannot be lowered");
      constant_of_[node->output()] = static_cast<std::uint32_t>(plan_.constants.size());
      plan_.constants.push_back(*value);
      return {};
    }
    if (is_sharing_note(node)) {
      pass_on(node->input(1), node->output());
      return {};
    }
    const auto index = static_cast<std::int64_t>(plan_.steps.size());
    const auto arguments = arguments_of(node);
    PlacedStep placed;
    placed.node = node;
    placed.op = op_name(node);
    placed.layer = node->scopeName();
    placed.written = written_arguments(node, arguments);
    std::ostringstream identity;
    describe(node, identity);
    for (jit::Value* argument : arguments) {
      const Source source = use(argument);
      identity << (source.constant ? " c" : " s");
      if (source.constant)
        describe(plan_.constants[source.index], identity);
      else
        identity << source.index;
      placed.arguments.push_back(source);
    }
    for (const Source& source : placed.arguments) {
      if (!source.constant)
        plan_.slots[source.index].last_use = index;
    }
    try {
      placed.step = step_for(node, arguments);
    } catch (const std::exception& e) {
      return fail(Errc::unsupported, placed.op + " cannot be lowered: " + one_line(e),
                  placed.layer);
    }
    for (jit::Value* output : node->outputs()) {
      const auto slot = add_slot(output, index);
      placed.results.push_back(output->uses().empty() ? no_slot : slot);
    }
    placed.hash = core::hash_text(identity.str());
    plan_.steps.push_back(std::move(placed));
    return {};
  }

  Plan plan_;
  std::unique_ptr<MemoryQueries>
      memory_;  // made when the first branch or loop that writes needs it
  std::unordered_map<jit::Value*, std::uint32_t> slot_of_;
  std::unordered_map<jit::Value*, std::uint32_t> constant_of_;
};

}  // namespace

Result<Plan> plan_aten(std::shared_ptr<jit::Graph> graph) {
  return guarded(Errc::unsupported, "", [&] { return Planner(std::move(graph)).run(); });
}

}  // namespace cleave::inline v0::model
