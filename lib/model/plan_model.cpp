#include "lib/model/plan_model.hpp"

#include "lib/model/convert.hpp"
#include "lib/model/example_inputs.hpp"
#include "lib/model/fingerprint.hpp"
#include "lib/model/guard.hpp"
#include "lib/model/separate.hpp"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <unordered_set>

namespace cleave::inline v0::model {

using core::Errc;
using core::fail;
using core::Result;

namespace {

// What tells inputs apart that the network may treat differently where memory is concerned: kinds,
// sizes, strides, which tensors share a storage, lengths, keys, whole numbers and words. Not the
// numbers themselves, which any branch may depend on anyway.
class Signature {
 public:
  static std::string of(const core::Values& values) {
    Signature signature;
    for (const core::Value& value : values) signature.add(value);
    return std::move(signature.text_);
  }

 private:
  void add(std::int64_t number) {
    text_.append(reinterpret_cast<const char*>(&number), sizeof(number));
  }
  void add(const std::string& text) {
    add(static_cast<std::int64_t>(text.size()));
    text_ += text;
  }
  void add(const core::Tensor& tensor) {
    add(static_cast<std::int64_t>(tensor.dtype));
    add(static_cast<std::int64_t>(tensor.sizes.size()));
    for (const std::int64_t size : tensor.sizes) add(size);
    for (const std::int64_t stride : tensor.strides) add(stride);
    const auto number = static_cast<std::int64_t>(storages_.size());
    add(storages_.emplace(tensor.storage.get(), number).first->second);
  }
  void add(const core::Value& value) {
    text_ += static_cast<char>('a' + value.data.index());
    std::visit(
        [&](const auto& v) {
          using T = std::remove_cvref_t<decltype(v)>;
          if constexpr (std::is_same_v<T, core::Tensor> || std::is_same_v<T, std::string> ||
                        std::is_same_v<T, std::int64_t>) {
            add(v);
          } else if constexpr (std::is_same_v<T, bool>) {
            text_ += v ? '1' : '0';
          } else if constexpr (std::is_same_v<T, core::Value::List> ||
                               std::is_same_v<T, core::Value::Tuple>) {
            add(static_cast<std::int64_t>(v.items.size()));
            for (const core::Value& item : v.items) add(item);
          } else if constexpr (std::is_same_v<T, core::Value::Dict>) {
            add(static_cast<std::int64_t>(v.items.size()));
            for (const auto& [key, item] : v.items) {
              add(key);
              add(item);
            }
          }
        },
        value.data);
  }

  std::string text_;
  std::unordered_map<const void*, std::int64_t> storages_;
};

// "tensors 1x3x8x8 and 1x3x8x8" cannot be told from a spec alone: the kind of a value for people.
std::string kind_of(const core::Value& value) {
  if (const core::Tensor* tensor = value.tensor()) {
    InputSpec spec;
    spec.dtype = tensor->dtype;
    spec.sizes = tensor->sizes;
    return to_string(spec);
  }
  constexpr std::array<const char*, 10> names = {"None",    "nothing",     "a bool",   "an int",
                                                 "a float", "a str",       "a tensor", "a list",
                                                 "a tuple", "a dictionary"};
  return names[value.data.index()];
}

// Whether the tensors in a value have the element types and numbers of dimensions that were
// declared; "" if so. Whether the value is of the network's type at all the conversion tells.
std::string misfit(const core::Value& value, const InputSpec& spec) {
  const auto inner = [&](const core::Value& item, std::size_t i) {
    return spec.items.empty() ? std::string()
                              : misfit(item, spec.items[std::min(i, spec.items.size() - 1)]);
  };
  std::string found;
  if (const core::Tensor* tensor = value.tensor()) {
    if (spec.kind == InputSpec::Kind::tensor &&
        (tensor->dtype != spec.dtype || tensor->sizes.size() != spec.sizes.size()))
      found = kind_of(value) + " does not have the element type and the number of dimensions of " +
              to_string(spec);
  } else if (spec.kind == InputSpec::Kind::tensor &&
             !std::holds_alternative<core::Value::None>(value.data)) {
    found = kind_of(value) + " is given for the tensor " + to_string(spec);
  } else if (const auto* list = std::get_if<core::Value::List>(&value.data)) {
    for (std::size_t i = 0; found.empty() && i < list->items.size(); ++i)
      found = inner(list->items[i], i);
  } else if (const auto* tuple = std::get_if<core::Value::Tuple>(&value.data)) {
    for (std::size_t i = 0; found.empty() && i < tuple->items.size(); ++i)
      found = inner(tuple->items[i], i);
  } else if (const auto* dict = std::get_if<core::Value::Dict>(&value.data)) {
    for (std::size_t i = 0; found.empty() && i < dict->items.size(); ++i) {
      const auto* key = std::get_if<std::string>(&dict->items[i].first.data);
      std::size_t at = i;
      for (std::size_t j = 0; key && j < spec.items.size(); ++j)
        at = spec.items[j].name == *key ? j : at;
      found = inner(dict->items[i].second, at);
    }
  }
  return found;
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
  writes_ = std::any_of(plan_->steps.begin(), plan_->steps.end(),
                        [](const PlacedStep& step) { return !step.written.empty(); });
  look_again_ = facts_.writes || depends_on_sizes(*plan_);
  known_ = Signature::of(example_inputs(0));
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
    std::size_t bytes = 0;
    for (const Source& source : placed.arguments) {
      if (source.constant)
        add_weights(plan_->constants[source.index], seen, info.parameters, bytes);
    }
    if (placed.node)
      add_weights(placed.node, seen, info.parameters, bytes);
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
    const InputSpec& spec = facts_.inputs[i];
    if (const std::string wrong = misfit(values[i], spec); !wrong.empty())
      return fail(Errc::invalid_argument,
                  "input " + std::to_string(i) + " ('" + spec.name + "'): " + wrong, facts_.name);
  }
  return {};
}

Result<void> PlanModel::check_sizes(const core::Values& values, std::uint32_t end) const {
  if (!look_again_)
    return {};
  std::string signature = Signature::of(values);
  if (signature == known_)
    return {};
  std::shared_ptr<const Seen> seen;
  {
    const std::lock_guard lock(seen_mutex_);
    for (auto it = seen_.begin(); it != seen_.end() && !seen; ++it) {
      if ((*it)->signature == signature) {
        seen = *it;
        seen_.splice(seen_.begin(), seen_, it);
        break;
      }
    }
  }
  if (!seen) {
    auto frame = enter(0, values);
    if (!frame)
      return fail(frame);
    std::vector<c10::IValue> inputs;
    for (const std::uint32_t slot : plan_->inputs) inputs.push_back((*frame)[slot]);
    auto analysis = analyse(*plan_, separate(inputs), /*declared=*/false);
    if (!analysis)
      return fail(analysis.error().code, analysis.error().what, facts_.name, analysis.error().hint);
    auto fresh = std::make_shared<Seen>();
    fresh->signature = std::move(signature);
    for (const PositionFacts& facts : analysis->positions) fresh->refused.push_back(facts.refused);
    for (const std::string& op : analysis->undeclared) {
      if (facts_.writes && !facts_.sharing.count(op))
        fresh->unfit = op;
    }
    const std::lock_guard lock(seen_mutex_);
    constexpr std::size_t remembered = 256;
    seen_.push_front(fresh);
    if (seen_.size() > remembered)
      seen_.pop_back();
    seen = fresh;
  }
  if (!seen->unfit.empty())
    return fail(Errc::unsupported,
                "for inputs of such sizes " + seen->unfit +
                    " gives its argument's memory back, which the example inputs did not show",
                facts_.name, "load the model with inputs of these sizes");
  if (const std::string& refused = seen->refused[end]; !refused.empty())
    return fail(Errc::unsupported,
                "the network must not be cut here for inputs of such sizes: " + refused,
                facts_.name, "take another cut, or load the model with inputs of these sizes");
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
  std::vector<c10::IValue> entering;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    auto value = converter.value(values[i], plan_->slots[slots[i]].type);
    if (!value)
      return fail(value.error().code, "value " + std::to_string(i) + ": " + value.error().what,
                  facts_.name);
    entering.push_back(std::move(*value));
  }
  // The caller's values stay as they are, so that it can run the tail again.
  const auto& written = analysis_.positions[position].written_after;
  if (std::find(written.begin(), written.end(), true) != written.end())
    entering = separate(entering, written);
  for (std::size_t i = 0; i < slots.size(); ++i) frame[slots[i]] = std::move(entering[i]);
  return frame;
}

Result<core::Values> PlanModel::leave(std::uint32_t position, const Frame& frame) const {
  core::Values values;
  FromTorch converter;
  const auto add = [&](const c10::IValue& value) -> Result<void> {
    auto converted = converter.value(value);
    if (!converted)
      return fail(converted);
    values.push_back(std::move(*converted));
    return {};
  };
  if (position == plan_->steps.size()) {
    for (const Source& output : plan_->outputs) {
      if (auto added = add(plan_->look_up(output, frame)); !added)
        return fail(added);
    }
  } else {
    for (const std::uint32_t slot : live_[position]) {
      if (auto added = add(frame[slot]); !added)
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
  if (*from == *to && *from != 0)
    return values;
  if (*from > *to)
    return fail(Errc::invalid_argument, "the first cut lies behind the second", facts_.name);
  return guarded(Errc::invalid_argument, facts_.name, [&]() -> Result<core::Values> {
    if (*from == 0 && look_again_ && values.size() == facts_.inputs.size()) {
      if (auto checked = check_sizes(values, *to); !checked)
        return fail(checked);
    }
    if (*from == *to)
      return values;
    // In inference mode libtorch copies some views that it shares otherwise (a reshaped lazy
    // conjugate, say), so what is written through one is lost.
    const c10::InferenceMode inference(!writes_);
    const at::NoGradGuard no_grad;
    auto frame = enter(*from, values);
    if (!frame)
      return fail(frame);
    plan_->run(*from, *to, *frame, times);
    return leave(*to, *frame);
  });
}

}  // namespace cleave::inline v0::model
