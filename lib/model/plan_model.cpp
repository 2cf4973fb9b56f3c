#include "lib/model/plan_model.hpp"

#include "lib/model/convert.hpp"
#include "lib/model/example_inputs.hpp"
#include "lib/model/fingerprint.hpp"
#include "lib/model/guard.hpp"

#include <ATen/Parallel.h>

#include <algorithm>
#include <unordered_set>

namespace cleave::inline v0::model {

using core::Errc;
using core::fail;
using core::Result;

namespace {

// A copy of a value that shares no memory with it; tensors keep their strides.
c10::IValue separate(const c10::IValue& value) {
  if (value.isTensor()) {
    const at::Tensor& tensor = value.toTensor();
    at::Tensor copy = at::empty_strided(tensor.sizes(), tensor.strides(), tensor.options());
    return copy.copy_(tensor);
  }
  if (value.isList()) {
    const auto list = value.toList();
    c10::impl::GenericList copy(list.elementType());
    for (std::size_t i = 0; i < list.size(); ++i) copy.push_back(separate(list.get(i)));
    return copy;
  }
  if (value.isTuple()) {
    std::vector<c10::IValue> items;
    for (const auto& item : value.toTupleRef().elements()) items.push_back(separate(item));
    const auto type = value.type()->expect<c10::TupleType>();
    return type->schema() ? c10::ivalue::Tuple::createNamed(std::move(items), type)
                          : c10::ivalue::Tuple::create(std::move(items));
  }
  if (value.isGenericDict()) {
    const auto dict = value.toGenericDict();
    c10::impl::GenericDict copy(dict.keyType(), dict.valueType());
    for (const auto& entry : dict) copy.insert(entry.key(), separate(entry.value()));
    return copy;
  }
  return value;
}

void add_weights(const c10::IValue& value, std::unordered_set<const void*>& seen,
                 std::int64_t& elements, std::size_t& bytes) {
  if (value.isTensor()) {
    const at::Tensor& tensor = value.toTensor();
    if (tensor.defined() && tensor.has_storage() &&
        seen.insert(tensor.storage().unsafeGetStorageImpl()).second) {
      elements += tensor.numel();
      bytes += tensor.storage().nbytes();
    }
  } else if (value.isList()) {
    const auto list = value.toList();
    for (std::size_t i = 0; i < list.size(); ++i) add_weights(list.get(i), seen, elements, bytes);
  }
}

// The constants inside a step's own control flow.
void add_weights(torch::jit::Node* node, std::unordered_set<const void*>& seen,
                 std::int64_t& elements, std::size_t& bytes) {
  for (torch::jit::Block* block : node->blocks()) {
    for (torch::jit::Node* inner : block->nodes()) {
      if (inner->kind() == c10::prim::Constant) {
        if (const auto value = torch::jit::toIValue(inner->output()))
          add_weights(*value, seen, elements, bytes);
      }
      add_weights(inner, seen, elements, bytes);
    }
  }
}

}  // namespace

PlanModel::PlanModel(std::shared_ptr<const Plan> plan, Analysis analysis, ModelFacts facts)
    : plan_(std::move(plan)), analysis_(std::move(analysis)), facts_(std::move(facts)) {
  fingerprint_ = {structure_hash(*plan_), facts_.weights_hash};
  ids_ = cut_ids(*plan_);
  for (std::uint32_t position = 0; position < ids_.size(); ++position) {
    positions_[ids_[position]] = position;
    live_.push_back(position < plan_->steps.size() ? plan_->live(position)
                                                   : std::vector<std::uint32_t>());
  }
  if (plan_->steps.empty())
    live_[0] = plan_->inputs;
  describe_steps();
  list_cuts();
}

void PlanModel::describe_steps() {
  std::unordered_set<const void*> seen;
  std::size_t total = 0;
  for (std::size_t i = 0; i < plan_->steps.size(); ++i) {
    const PlacedStep& placed = plan_->steps[i];
    StepInfo info;
    info.layer = placed.layer;
    info.op = placed.op;
    info.output_sizes = analysis_.steps[i].output_sizes;
    info.computes = analysis_.steps[i].computes;
    info.kernel = placed.kernel;
    std::size_t bytes = 0;
    for (const Source& source : placed.arguments) {
      if (source.constant)
        add_weights(plan_->constants[source.index], seen, info.parameters, bytes);
    }
    if (placed.node)
      add_weights(placed.node, seen, info.parameters, bytes);
    info.parameters += placed.step->weight_elements();
    bytes += placed.step->weight_bytes();
    info.weight_bytes = core::Bytes(static_cast<double>(bytes));
    total += bytes;
    steps_.push_back(std::move(info));
  }
  weight_bytes_ = core::Bytes(static_cast<double>(total));
}

core::Cut PlanModel::cut_at(std::uint32_t position) const {
  core::Cut cut;
  cut.id = ids_[position];
  cut.position = position;
  cut.op = "input";
  if (position > 0) {
    cut.layer = plan_->steps[position - 1].layer;
    cut.op = plan_->steps[position - 1].op;
  }
  cut.bytes = core::Bytes(static_cast<double>(analysis_.positions[position].bytes));
  return cut;
}

// Between two computing steps all places are as good as one another but for what crosses: the one
// with the fewest bytes, then the fewest tensors, then the first, stands for all.
void PlanModel::list_cuts() {
  const auto last = static_cast<std::uint32_t>(plan_->steps.size());
  cuts_.push_back(cut_at(0));
  std::uint32_t best = 0;  // 0: none yet since the last computing step
  const auto better = [&](std::uint32_t a, std::uint32_t b) {
    const PositionFacts& x = analysis_.positions[a];
    const PositionFacts& y = analysis_.positions[b];
    return std::pair(x.bytes, x.tensors) < std::pair(y.bytes, y.tensors);
  };
  bool computed = false;
  for (std::uint32_t position = 1; position < last; ++position) {
    computed = computed || analysis_.steps[position - 1].computes;
    const PositionFacts& facts = analysis_.positions[position];
    if (!facts.refused.empty()) {
      refused_.push_back({position, plan_->steps[position - 1].layer, plan_->steps[position - 1].op,
                          facts.refused});
    } else if (facts_.all_cuts) {
      best = position;
    } else if (computed && (best == 0 || better(position, best))) {
      best = position;
    }
    if (best != 0 && (facts_.all_cuts || analysis_.steps[position].computes)) {
      cuts_.push_back(cut_at(best));
      best = 0;
    }
  }
  // What only passes the outputs on is no place of its own: the last cut stands for it.
  if (best != 0 && std::any_of(analysis_.steps.begin() + best, analysis_.steps.end(),
                               [](const StepFacts& step) { return step.computes; }))
    cuts_.push_back(cut_at(best));
  if (last > 0)
    cuts_.push_back(cut_at(last));
}

Result<void> PlanModel::set_threads(int threads) const {
  if (threads < 1)
    return fail(Errc::invalid_argument, "a network needs at least one thread");
  return guarded(Errc::internal, "", [&]() -> Result<void> {
    at::set_num_threads(threads);
    dnn::set_threads(threads);
    return {};
  });
}

core::Values PlanModel::example_inputs(std::uint64_t seed) const {
  return make_example_inputs(facts_.inputs, seed);
}

Result<std::uint32_t> PlanModel::position_of(core::CutId cut) const {
  const auto found = positions_.find(cut);
  if (found == positions_.end())
    return fail(Errc::not_found, "there is no cut " + core::to_string(cut), facts_.name,
                "cuts belong to one structure of a model; profile and optimize it again");
  const std::string& refused = analysis_.positions[found->second].refused;
  if (!refused.empty())
    return fail(Errc::unsupported, "the network must not be cut here: " + refused, facts_.name);
  return found->second;
}

Result<void> PlanModel::check_inputs(const core::Values& values) const {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const core::Tensor* tensor = values[i].tensor();
    InputSpec given;
    if (tensor) {
      given.dtype = tensor->dtype;
      given.sizes = tensor->sizes;
    }
    const InputSpec& spec = facts_.inputs[i];
    if (!tensor || given.dtype != spec.dtype || given.sizes != spec.sizes)
      return fail(Errc::invalid_argument,
                  "input " + std::to_string(i) + " ('" + spec.name + "') must be a tensor " +
                      to_string(spec) + (tensor ? ", not " + to_string(given) : ""),
                  facts_.name);
  }
  return {};
}

Result<Frame> PlanModel::enter(std::uint32_t position, const core::Values& values) const {
  const auto& slots = live_[position];
  const std::string which = position == 0 ? "the network takes " : "at this cut there cross ";
  if (values.size() != slots.size())
    return fail(
        Errc::invalid_argument,
        which + std::to_string(slots.size()) + " values, not " + std::to_string(values.size()),
        facts_.name);
  if (position == 0) {
    if (auto checked = check_inputs(values); !checked)
      return fail(checked);
  }
  Frame frame(plan_->slots.size());
  ToTorch converter;
  const auto& written = analysis_.positions[position].written_after;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    auto value = converter.value(values[i], plan_->slots[slots[i]].type);
    if (!value)
      return fail(value.error().code, "value " + std::to_string(i) + ": " + value.error().what,
                  facts_.name);
    // The caller's values stay as they are, so that it can run the tail again.
    frame[slots[i]] = written[i] ? separate(*value) : std::move(*value);
    if (plan_->slots[slots[i]].blocked)
      frame[slots[i]] =
          model::converted(*plan_->pool, std::move(frame[slots[i]]), false, Want::blocked);
  }
  return frame;
}

Result<core::Values> PlanModel::leave(std::uint32_t position, const Frame& frame) const {
  core::Values values;
  FromTorch converter;
  // Blocks stay inside: they are this machine's.
  const auto outside = [&](const Source& source, const Frame& values_inside) {
    const c10::IValue& value = plan_->look_up(source, values_inside);
    if (source.constant || !plan_->slots[source.index].blocked)
      return value;
    return model::converted(*plan_->pool, value, true, Want::channels_last);
  };
  const auto add = [&](const c10::IValue& value) -> Result<void> {
    auto converted = converter.value(value);
    if (!converted)
      return fail(converted);
    values.push_back(std::move(*converted));
    return {};
  };
  if (position == plan_->steps.size()) {
    for (const Source& output : plan_->outputs) {
      if (auto added = add(outside(output, frame)); !added)
        return fail(added);
    }
  } else {
    for (const std::uint32_t slot : live_[position]) {
      if (auto added = add(outside({slot, false, false}, frame)); !added)
        return fail(added);
    }
  }
  return values;
}

Result<core::Values> PlanModel::run_between(core::CutId begin, core::CutId end,
                                            const core::Values& values,
                                            std::vector<core::StepTime>* times) const {
  const auto from = position_of(begin);
  if (!from)
    return fail(from);
  const auto to = position_of(end);
  if (!to)
    return fail(to);
  if (*from == *to)
    return values;
  if (*from > *to)
    return fail(Errc::invalid_argument, "the first cut lies behind the second", facts_.name);
  return guarded(Errc::invalid_argument, facts_.name, [&]() -> Result<core::Values> {
    const c10::InferenceMode inference;
    auto frame = enter(*from, values);
    if (!frame)
      return fail(frame);
    plan_->run(*from, *to, *frame, times);
    return leave(*to, *frame);
  });
}

}  // namespace cleave::inline v0::model
