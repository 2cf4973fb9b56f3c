#include "lib/model/plan_model.hpp"

#include "lib/model/convert.hpp"
#include "lib/model/device.hpp"
#include "lib/model/example_inputs.hpp"
#include "lib/model/fingerprint.hpp"
#include "lib/model/guard.hpp"
#include "lib/model/separate.hpp"
#include "lib/model/step_weights.hpp"

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

}  // namespace

PlanModel::PlanModel(std::shared_ptr<const Plan> plan, Analysis analysis, ModelFacts facts)
    : plan_(std::move(plan)), analysis_(std::move(analysis)), facts_(std::move(facts)) {
  fingerprint_ = {structure_hash(*plan_), facts_.weights_hash};
  graph_ = core::step_graph_of(analysis_.memory);
  list_places();
  writes_ = std::any_of(plan_->steps.begin(), plan_->steps.end(),
                        [](const PlacedStep& step) { return !step.written.empty(); });
  look_again_ = facts_.writes || depends_on_sizes(*plan_);
  // The analysis is the CPU's. Elsewhere kernels may choose other strides, so that a reshape copies
  // what it shares here, or the other way round: there the example's sizes are looked at, too.
  if (plan_->device.is_cpu())
    known_ = Signature::of(example_inputs(0));
  describe_steps();
  list_cuts();
}

void PlanModel::list_places() {
  const auto ids = cut_ids(*plan_);
  for (std::uint32_t position = 0; position < ids.size(); ++position) {
    Place place;
    place.cut.id = ids[position];
    place.cut.position = position;
    place.cut.op = "input";
    if (position > 0) {
      place.cut.layer = plan_->steps[position - 1].layer;
      place.cut.op = plan_->steps[position - 1].op;
    }
    const PositionFacts& facts = analysis_.positions[position];
    place.cut.bytes = core::Bytes(static_cast<double>(facts.bytes));
    if (position < plan_->steps.size() || position == 0)
      place.live = plan_->live(position);
    place.written = facts.written_after;
    place.written.resize(place.live.size());
    positions_.push_back(std::make_shared<const Place>(std::move(place)));
    prefixes_[ids[position]] = positions_.back();
  }

  const core::MemoryTrace& memory = analysis_.memory;
  std::unordered_map<std::uint32_t, std::vector<std::uint32_t>> writers_to;
  for (std::uint32_t step = 0; step < memory.steps.size(); ++step) {
    for (const std::uint32_t written : memory.steps[step].writes)
      writers_to[written].push_back(step);
  }
  for (const core::MemoryTrace::Value& value : memory.values) {
    std::vector<std::uint32_t>& writers = writers_.emplace_back(value.writers);
    for (const std::uint32_t reached : value.reaches) {
      if (const auto found = writers_to.find(reached); found != writers_to.end())
        writers.insert(writers.end(), found->second.begin(), found->second.end());
    }
  }
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
        continue;
      if (const auto defined = plan_->slots[source.index].defined; defined < 0) {
        info.reads_input = true;
      } else if (const auto step = static_cast<std::uint32_t>(defined);
                 std::find(info.needs.begin(), info.needs.end(), step) == info.needs.end()) {
        info.needs.push_back(step);
      }
    }
    std::sort(info.needs.begin(), info.needs.end());
    for (const WeightPiece& piece : weights_of(*plan_, placed)) {
      if (seen.insert(piece.memory).second) {
        info.parameters += piece.elements;
        bytes += piece.bytes;
      }
    }
    info.weight_bytes = core::Bytes(static_cast<double>(bytes));
    total += bytes;
    steps_.push_back(std::move(info));
  }
  weight_bytes_ = core::Bytes(static_cast<double>(total));
}

// Between two computing steps all places are as good as one another but for what crosses: the one
// with the fewest bytes, then the fewest tensors, then the first, stands for all.
void PlanModel::list_cuts() {
  const auto last = static_cast<std::uint32_t>(plan_->steps.size());
  cuts_.push_back(positions_[0]->cut);
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
      cuts_.push_back(positions_[best]->cut);
      best = 0;
    }
  }
  // What only passes the outputs on is no place of its own: the last cut stands for it.
  if (best != 0 && std::any_of(analysis_.steps.begin() + best, analysis_.steps.end(),
                               [](const StepFacts& step) { return step.computes; }))
    cuts_.push_back(positions_[best]->cut);
  if (last > 0)
    cuts_.push_back(positions_[last]->cut);
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

namespace {

// More than any table uses; a peer that asks for others pays with its own.
constexpr std::size_t remembered_cuts = 4096;

}  // namespace

std::shared_ptr<const Place> PlanModel::known_place(core::CutId cut) const {
  if (const auto found = prefixes_.find(cut); found != prefixes_.end())
    return found->second;
  const std::shared_lock lock(mutex_);
  const auto found = others_.find(cut);
  return found == others_.end() ? nullptr : found->second;
}

Result<std::shared_ptr<const Place>> PlanModel::place_of(core::CutId cut) const {
  auto place = known_place(cut);
  if (!place)
    return fail(Errc::not_found, "there is no cut " + core::to_string(cut), facts_.name,
                "cuts belong to one structure of a model; profile and optimize it again");
  if (place->head.empty()) {
    const std::string& refused = analysis_.positions[place->cut.position].refused;
    if (!refused.empty())
      return fail(Errc::unsupported, "the network must not be cut here: " + refused, facts_.name);
  }
  return place;
}

core::StepSet PlanModel::head_of(const Place& place) const {
  if (!place.head.empty())
    return place.head;
  core::StepSet head(plan_->steps.size(), false);
  std::fill_n(head.begin(), place.cut.position, true);
  return head;
}

Result<core::Cut> PlanModel::cut_at(std::span<const core::StepRange> head) const {
  if (auto checked = core::check_ranges(head, step_count()); !checked)
    return fail(checked.error().code, checked.error().what, facts_.name);
  if (core::is_prefix(head)) {
    const auto place = place_of(positions_[core::step_count(head)]->cut.id);
    if (!place)
      return fail(place);
    return (*place)->cut;
  }
  const core::CutId id = cut_id(*plan_, head);
  if (const auto known = known_place(id))
    return known->cut;
  const auto place = make_place(id, core::set_of(head, step_count()));
  if (!place)
    return fail(place);
  const std::unique_lock lock(mutex_);
  if (others_.emplace(id, *place).second) {
    oldest_first_.push_back(id);
    if (oldest_first_.size() > remembered_cuts) {
      others_.erase(oldest_first_.front());
      oldest_first_.pop_front();
    }
  }
  return (*place)->cut;
}

Result<std::shared_ptr<const Place>> PlanModel::make_place(core::CutId id,
                                                           core::StepSet head) const {
  if (!core::is_head(graph_, head))
    return fail(Errc::invalid_argument,
                "these steps are no head: they need steps that are not among them, or share memory "
                "that a step of the tail changes in place",
                facts_.name, "profile and optimize the model again");
  auto place = std::make_shared<Place>();
  place->head = std::move(head);
  place->live = live_across(*plan_, place->head);
  const auto in_tail = [&](std::uint32_t step) { return !place->head[step]; };
  std::vector<std::uint32_t> tensors;
  for (const std::uint32_t slot : place->live) {
    place->written.push_back(std::any_of(writers_[slot].begin(), writers_[slot].end(), in_tail));
    if (!analysis_.memory.values[slot].views.empty())
      tensors.push_back(slot);
  }
  place->before =
      passage(*plan_, core::StepSet(plan_->steps.size(), false), place->head, place->live);
  place->after =
      passage(*plan_, place->head, core::StepSet(plan_->steps.size(), true), output_slots(*plan_));
  core::Cut& cut = place->cut;
  cut.id = id;
  cut.head = core::ranges_of(place->head);
  cut.position = core::step_count(cut.head);
  cut.layer = layers_of(*plan_, tensors);
  cut.op = plan_->steps[cut.head.back().end - 1].op;
  cut.bytes = core::bytes_across(graph_, place->head);
  return place;
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

Result<void> PlanModel::check_sizes(const core::Values& values, const Place& end) const {
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
    auto frame = enter(*positions_.front(), values);
    if (!frame)
      return fail(frame);
    std::vector<c10::IValue> inputs;
    for (const std::uint32_t slot : plan_->inputs) inputs.push_back((*frame)[slot]);
    auto analysis = analyse(*plan_, separate(inputs), /*declared=*/false);
    if (!analysis)
      return fail(analysis.error().code, analysis.error().what, facts_.name, analysis.error().hint);
    auto fresh = std::make_shared<Seen>();
    fresh->signature = std::move(signature);
    fresh->graph = core::step_graph_of(analysis->memory);
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
  std::string refused;
  if (end.head.empty())
    refused = seen->refused[end.cut.position];
  else if (!core::is_head(seen->graph, end.head))
    refused = "steps on both sides of the cut share memory that one of them changes";
  if (!refused.empty())
    return fail(Errc::unsupported,
                "the network must not be cut here for inputs of such sizes: " + refused,
                facts_.name, "take another cut, or load the model with inputs of these sizes");
  return {};
}

Result<Frame> PlanModel::enter(const Place& place, const core::Values& values) const {
  const auto& slots = place.live;
  const bool first = place.cut.position == 0;
  const std::string which = first ? "the network takes " : "at this cut there cross ";
  if (values.size() != slots.size())
    return fail(
        Errc::invalid_argument,
        which + std::to_string(slots.size()) + " values, not " + std::to_string(values.size()),
        facts_.name);
  if (first) {
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
  if (!plan_->device.is_cpu())
    Mover(plan_->device).move(entering);
  else if (std::find(place.written.begin(), place.written.end(), true) != place.written.end())
    entering = separate(entering, place.written);
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const bool blocked = plan_->slots[slots[i]].blocked;
    // Where the plan keeps blocks, five dimensions mean blocks.
    constexpr std::int64_t most_dimensions = 4;
    if (blocked && entering[i].isTensor() && entering[i].toTensor().dim() > most_dimensions)
      return fail(Errc::invalid_argument,
                  "value " + std::to_string(i) + " of this cut has more than four dimensions",
                  facts_.name);
    frame[slots[i]] =
        blocked ? model::converted(*plan_->pool, std::move(entering[i]), false, Want::blocked)
                : std::move(entering[i]);
  }
  return frame;
}

Result<core::Values> PlanModel::leave(const Place& place, const Frame& frame) const {
  std::vector<c10::IValue> leaving;
  const auto add = [&](const Source& source) {
    const c10::IValue& value = plan_->look_up(source, frame);
    // Blocks stay inside: they are this machine's.
    const bool blocked = !source.constant && plan_->slots[source.index].blocked;
    leaving.push_back(blocked ? model::converted(*plan_->pool, value, true, Want::channels_last)
                              : value);
  };
  if (place.cut.position == plan_->steps.size()) {
    for (const Source& output : plan_->outputs) add(output);
  } else {
    for (const std::uint32_t slot : place.live) add({slot, false, false});
  }
  if (!plan_->device.is_cpu())
    Mover(c10::DeviceType::CPU).move(leaving);
  core::Values values;
  FromTorch converter;
  for (const c10::IValue& value : leaving) {
    auto converted = converter.value(value);
    if (!converted)
      return fail(converted);
    values.push_back(std::move(*converted));
  }
  return values;
}

Result<core::Values> PlanModel::run_between(core::CutId begin, core::CutId end,
                                            const core::Values& values,
                                            std::vector<core::StepTime>* times) const {
  const auto from = place_of(begin);
  if (!from)
    return fail(from);
  const auto to = place_of(end);
  if (!to)
    return fail(to);
  if (begin == end && begin != positions_.front()->cut.id)
    return values;
  return guarded(Errc::invalid_argument, facts_.name, [&]() -> Result<core::Values> {
    const DeviceScope here(plan_->device);
    if (begin == positions_.front()->cut.id && look_again_ &&
        values.size() == facts_.inputs.size()) {
      if (auto checked = check_sizes(values, **to); !checked)
        return fail(checked);
    }
    if (begin == end)
      return values;
    const PassModes modes(writes_);
    auto frame = enter(**from, values);
    if (!frame)
      return fail(frame);
    if (auto advanced = advance(**from, **to, *frame, times); !advanced)
      return fail(advanced);
    return leave(**to, *frame);
  });
}

Result<void> PlanModel::advance(const Place& from, const Place& to, Frame& frame,
                                std::vector<core::StepTime>* times) const {
  const auto behind = [&] {
    return fail(Errc::invalid_argument, "the first cut lies behind the second", facts_.name);
  };
  if (from.head.empty() && to.head.empty()) {
    if (from.cut.position > to.cut.position)
      return behind();
    plan_->run(from.cut.position, to.cut.position, frame, times);
    return {};
  }
  if (from.cut.position == 0) {
    plan_->run(to.before.steps, to.before.lets_go, frame, times);
    return {};
  }
  if (to.cut.position == plan_->steps.size()) {
    plan_->run(from.after.steps, from.after.lets_go, frame, times);
    return {};
  }
  const core::StepSet left = head_of(from), right = head_of(to);
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (left[i] && !right[i])
      return behind();
  }
  const Passage between = passage(*plan_, left, right, to.live);
  plan_->run(between.steps, between.lets_go, frame, times);
  return {};
}

}  // namespace cleave::inline v0::model
