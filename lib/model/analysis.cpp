#include "lib/model/analysis.hpp"

#include "lib/model/guard.hpp"
#include "lib/model/layout.hpp"
#include "lib/model/memory_queries.hpp"
#include "lib/model/shares_memory.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>

namespace cleave::inline v0::model {
namespace {

namespace jit = torch::jit;
using core::Errc;
using core::fail;

// The address of a storage or container. Weak references keep an address from being used again
// for another object while the analysis lasts.
using Identity = const void*;

// Calls on_tensor(tensor) and on_container(address) for everything inside a value.
template <class OnTensor, class OnContainer>
void walk(const c10::IValue& value, const OnTensor& on_tensor, const OnContainer& on_container) {
  if (value.isTensor()) {
    if (value.toTensor().defined() && value.toTensor().has_storage())
      on_tensor(value.toTensor());
  } else if (value.isList()) {
    on_container(value.internalToPointer());
    const auto list = value.toList();
    for (std::size_t i = 0; i < list.size(); ++i) walk(list.get(i), on_tensor, on_container);
  } else if (value.isTuple()) {
    for (const auto& item : value.toTupleRef().elements()) walk(item, on_tensor, on_container);
  } else if (value.isGenericDict()) {
    on_container(value.internalToPointer());
    for (const auto& entry : value.toGenericDict()) {
      walk(entry.key(), on_tensor, on_container);
      walk(entry.value(), on_tensor, on_container);
    }
  }
}

Identity storage_of(const at::Tensor& tensor) {
  return tensor.storage().unsafeGetStorageImpl();
}

std::size_t extent_of(const at::Tensor& tensor) {
  std::size_t last = 0;
  for (std::int64_t d = 0; d < tensor.dim(); ++d) {
    if (tensor.size(d) == 0)
      return 0;
    last += static_cast<std::size_t>((tensor.size(d) - 1) * tensor.stride(d));
  }
  return (last + 1) * tensor.element_size();
}

// The bytes [begin, end) of its storage that a tensor views, and what its elements take.
struct Region {
  std::size_t begin = 0, end = 0, bytes = 0;
};

Region region_of(const at::Tensor& tensor) {
  const std::size_t begin =
      static_cast<std::size_t>(tensor.storage_offset()) * tensor.element_size();
  const std::size_t extent = extent_of(tensor);
  // An expanded tensor has more elements than memory.
  return {begin, begin + extent, std::min<std::size_t>(tensor.nbytes(), extent)};
}

// A storage is sent once: no more than what its views cover together, nor than each by itself.
std::size_t bytes_of(std::vector<Region> regions) {
  std::sort(regions.begin(), regions.end(),
            [](const Region& a, const Region& b) { return a.begin < b.begin; });
  std::size_t covered = 0, apart = 0, reached = 0;
  for (const Region& region : regions) {
    apart += region.bytes;
    const std::size_t from = std::max(region.begin, reached);
    if (region.end > from)
      covered += region.end - from;
    reached = std::max(reached, region.end);
  }
  return std::min(covered, apart);
}

// Why a value cannot cross between machines as what it is; "" if it can.
std::string bound_here(const c10::IValue& value) {
  if (value.isTensor()) {
    const at::Tensor& tensor = value.toTensor();
    if (!tensor.defined())
      return "an undefined tensor";
    if (tensor.layout() != c10::kStrided || tensor.is_quantized())
      return "a tensor that is not dense";
    // Its bytes are not its values, and what computes on it takes other ways than with a copy.
    if (tensor.is_conj() || tensor.is_neg())
      return "a view that is conjugated or negated when it is read";
    return "";
  }
  std::string inside;
  const auto look_inside = [&](const c10::IValue& item) {
    if (inside.empty())
      inside = bound_here(item);
  };
  if (value.isList()) {
    const auto list = value.toList();
    for (std::size_t i = 0; i < list.size() && inside.empty(); ++i) look_inside(list.get(i));
    return inside;
  }
  if (value.isTuple()) {
    for (const auto& item : value.toTupleRef().elements()) look_inside(item);
    return inside;
  }
  if (value.isGenericDict()) {
    for (const auto& entry : value.toGenericDict()) look_inside(entry.value());
    return inside;
  }
  if (value.isNone() || value.isBool() || value.isInt() || value.isDouble() || value.isString() ||
      value.isDevice() || value.tagKind() == "Uninitialized")
    return "";
  return "a value of type " + value.tagKind();
}

// Operators that look at the storage behind a tensor, not only at the tensor.
bool looks_behind(const jit::Node* node) {
  static const std::set<std::string> names = {
      "aten::as_strided", "aten::as_strided_", "aten::as_strided_copy", "aten::as_strided_scatter",
      "aten::resize_",    "aten::resize_as_",  "aten::storage_offset"};
  if (names.count(node->kind().toQualString()))
    return true;
  for (const jit::Block* block : node->blocks()) {
    for (const jit::Node* inner : block->nodes()) {
      if (looks_behind(inner))
        return true;
    }
  }
  return false;
}

// Runs the plan and remembers, per position, what crosses and, per step, what it changes.
class Observer {
 public:
  Observer(const Plan& plan, std::vector<c10::IValue> inputs) : plan_(plan) {
    frame_.resize(plan.slots.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) frame_[plan.inputs[i]] = std::move(inputs[i]);
    for (const auto& constant : plan.constants) {
      walk(
          constant, [&](const at::Tensor& t) { constants_.insert(storage_of(t)); },
          [&](Identity container) { constants_.insert(container); });
    }
  }

  core::Result<Analysis> run(bool declared) {
    const auto count = static_cast<std::uint32_t>(plan_.steps.size());
    analysis_.steps.resize(count);
    analysis_.positions.resize(count + 1);
    writes_.resize(count);
    reaches_.resize(count);
    crossing_.resize(count + 1);
    begin_trace();
    torch::jit::Stack stack;
    for (std::uint32_t i = 0; i < count; ++i) {
      look(i, plan_.live(i));
      if (auto ran = step(i, stack); !ran)
        return fail(ran);
    }
    look_at_outputs();
    refuse_observed();
    if (declared)
      refuse_declared();
    end_trace();
    return std::move(analysis_);
  }

 private:
  // What is known of a position: who reaches which storage.
  struct Crossing {
    std::vector<std::uint32_t> slots;
    std::map<Identity, std::vector<std::size_t>> reached_by;  // indices into slots, with repeats
  };

  void keep(const at::Tensor& tensor) {
    if (kept_.insert(storage_of(tensor)).second)
      alive_.push_back(tensor.storage().getWeakStorageImpl());
  }

  void look(std::uint32_t position, std::vector<std::uint32_t> slots) {
    Crossing& crossing = crossing_[position];
    crossing.slots = std::move(slots);
    std::map<Identity, std::vector<Region>> regions;
    for (std::size_t i = 0; i < crossing.slots.size(); ++i) {
      walk(
          frame_[crossing.slots[i]],
          [&](const at::Tensor& tensor) {
            keep(tensor);
            crossing.reached_by[storage_of(tensor)].push_back(i);
            regions[storage_of(tensor)].push_back(region_of(tensor));
            ++analysis_.positions[position].tensors;
          },
          [&](Identity container) { crossing.reached_by[container].push_back(i); });
      if (const std::string bound = bound_here(frame_[crossing.slots[i]]);
          !bound.empty() && position > 0)
        refuse(position, bound + " would have to cross", {crossing.slots[i]});
    }
    for (auto& [storage, views] : regions)
      analysis_.positions[position].bytes += bytes_of(std::move(views));
    analysis_.positions[position].written_after.assign(crossing.slots.size(), false);
  }

  // What does not depend on the pass.
  void begin_trace() {
    core::MemoryTrace& memory = analysis_.memory;
    memory.steps.resize(plan_.steps.size());
    memory.values.resize(plan_.slots.size());
    for (std::size_t slot = 0; slot < plan_.slots.size(); ++slot) {
      if (plan_.slots[slot].defined >= 0)
        memory.values[slot].producer = static_cast<std::uint32_t>(plan_.slots[slot].defined);
    }
    for (std::uint32_t step = 0; step < plan_.steps.size(); ++step) {
      const PlacedStep& placed = plan_.steps[step];
      memory.steps[step].ordered = placed.node && placed.node->hasSideEffects();
      for (const Source& source : placed.arguments) {
        if (source.constant)
          continue;
        auto& consumers = memory.values[source.index].consumers;
        if (consumers.empty() || consumers.back() != step)
          consumers.push_back(step);
      }
    }
    for (const Source& output : plan_.outputs) {
      if (!output.constant)
        memory.values[output.index].output = true;
    }
    for (const std::uint32_t slot : plan_.inputs) trace_value(slot);
  }

  // A value that was just made.
  void trace_value(std::uint32_t slot) {
    core::MemoryTrace::Value& value = analysis_.memory.values[slot];
    walk(
        frame_[slot],
        [&](const at::Tensor& tensor) {
          keep(tensor);
          const Region region = region_of(tensor);
          value.reaches.push_back(number_of(storage_of(tensor)));
          value.views.push_back({value.reaches.back(), region.begin, region.end, region.bytes});
        },
        [&](Identity container) { value.reaches.push_back(number_of(container)); });
  }

  void end_trace() {
    core::MemoryTrace& memory = analysis_.memory;
    for (std::size_t step = 0; step < plan_.steps.size(); ++step) {
      for (const Identity written : writes_[step])
        memory.steps[step].writes.push_back(number_of(written));
      for (const Identity beyond : reaches_[step])
        memory.steps[step].beyond.push_back(number_of(beyond));
    }
    // A list may have been added to since it was made.
    for (const Crossing& crossing : crossing_) {
      for (const auto& [identity, by] : crossing.reached_by) {
        const std::uint32_t number = number_of(identity);
        for (std::size_t i = 0; i < by.size(); ++i) {
          auto& reaches = memory.values[crossing.slots[by[i]]].reaches;
          const auto known = std::count(reaches.begin(), reaches.end(), number);
          if (known == 0 || (known == 1 && i > 0 && by[i - 1] == by[i]))
            reaches.push_back(number);
        }
      }
    }
  }

  std::uint32_t number_of(Identity identity) {
    return numbers_.emplace(identity, static_cast<std::uint32_t>(numbers_.size())).first->second;
  }

  void look_at_outputs() {
    const std::size_t last = plan_.steps.size();
    std::map<Identity, std::vector<Region>> regions;
    for (const Source& output : plan_.outputs) {
      c10::IValue value = plan_.look_up(output, frame_);
      if (!output.constant && plan_.slots[output.index].blocked)
        value = converted(*plan_.pool, std::move(value), true, Want::channels_last);
      analysis_.outputs.push_back(std::move(value));
      walk(
          plan_.look_up(output, frame_),
          [&](const at::Tensor& tensor) {
            regions[storage_of(tensor)].push_back(region_of(tensor));
            ++analysis_.positions[last].tensors;
          },
          [](Identity) {});
    }
    for (auto& [storage, views] : regions)
      analysis_.positions[last].bytes += bytes_of(std::move(views));
  }

  core::Result<void> step(std::uint32_t index, torch::jit::Stack& stack) {
    const PlacedStep& placed = plan_.steps[index];
    StepFacts& facts = analysis_.steps[index];
    std::set<Identity>& writes = writes_[index];

    // The arguments, and every tensor alive with its version before.
    std::vector<c10::IValue> arguments;
    for (const Source& source : placed.arguments)
      arguments.push_back(plan_.look_up(source, frame_));
    std::unordered_map<Identity, Region> given;
    std::vector<std::pair<at::Tensor, std::int64_t>> versions;
    const auto note_version = [&](const c10::IValue& value) {
      walk(
          value,
          [&](const at::Tensor& tensor) {
            if (!tensor.is_inference())
              versions.emplace_back(tensor, tensor._version());
          },
          [](Identity) {});
    };
    for (const auto& value : frame_) note_version(value);
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      if (placed.arguments[i].constant)
        note_version(arguments[i]);
      walk(
          arguments[i],
          [&](const at::Tensor& tensor) {
            keep(tensor);
            const Region region = region_of(tensor);
            const auto [known, fresh] = given.emplace(storage_of(tensor), region);
            known->second.begin = std::min(known->second.begin, region.begin);
            known->second.end = std::max(known->second.end, region.end);
            if (fresh)
              analysis_.memory.steps[index].reads.push_back(number_of(storage_of(tensor)));
          },
          [&](Identity container) {
            analysis_.memory.steps[index].reads.push_back(number_of(container));
          });
    }
    const bool may_only = placed.node && !placed.node->blocks().empty();
    std::set<Identity> certain;
    for (const std::uint32_t written : placed.written) {
      std::set<Identity>& into = may_only ? writes : certain;
      walk(
          arguments[written], [&](const at::Tensor& tensor) { into.insert(storage_of(tensor)); },
          [&](Identity container) { into.insert(container); });
    }
    const bool behind = placed.node && looks_behind(placed.node);
    if (behind) {
      for (const auto& [storage, region] : given) reaches_[index].insert(storage);
    }
    arguments.clear();

    plan_.run_step(index, frame_, stack);

    for (const auto& [tensor, version] : versions) {
      if (tensor._version() != version)
        certain.insert(storage_of(tensor));
    }
    writes.insert(certain.begin(), certain.end());
    facts.computes = !writes.empty();
    for (const Identity written : certain) {
      if (constants_.count(written))
        return fail(Errc::unsupported, placed.op + " changes the model's own weights or constants",
                    placed.layer, "a model that can be cut must be a function of its inputs");
    }
    bool first = true;
    for (const std::uint32_t slot : placed.results) {
      if (slot == no_slot)
        continue;
      trace_value(slot);
      walk(
          frame_[slot],
          [&](const at::Tensor& tensor) {
            keep(tensor);
            if (std::exchange(first, false))
              facts.output_sizes = logical_sizes(
                  tensor, plan_.slots[slot].blocked ? Layout::blocked : Layout::plain);
            const auto source = given.find(storage_of(tensor));
            if (source == given.end()) {
              facts.computes = true;
            } else {
              const Region region = region_of(tensor);
              if (region.begin < source->second.begin || region.end > source->second.end)
                reaches_[index].insert(storage_of(tensor));
              if (writes.empty() && !declares_alias(placed))
                analysis_.undeclared.insert(placed.op);
            }
          },
          [](Identity) {});
    }
    return {};
  }

  // Whether it is known that a step may give back its arguments' memory. Containers and control
  // flow always may.
  static bool declares_alias(const PlacedStep& placed) {
    const auto* schema = placed.node ? placed.node->maybeSchema() : nullptr;
    if (!schema || placed.node->kind().is_prim() || undeclared_sharers().count(placed.op))
      return true;
    return std::any_of(schema->returns().begin(), schema->returns().end(), [](const auto& given) {
      if (given.alias_info())
        return true;
      // Lists of anything, as of aten::list, are known to hand on what was in them.
      const auto list = given.type()->template cast<c10::ListType>();
      return list && list->getElementType()->kind() == c10::TypeKind::VarType;
    });
  }

  // "'x.3' (aten::conv2d in layer1.0)", "input 'x'"
  [[nodiscard]] std::string name_of(std::uint32_t slot) const {
    const Slot& known = plan_.slots[slot];
    std::string name = known.value ? known.value->debugName() : "";
    if (!name.empty() && name.find_first_not_of("0123456789") == std::string::npos)
      name = "";  // a number that libtorch gave
    if (known.defined < 0)
      return "input" + (name.empty() ? "" : " '" + name + "'");
    const PlacedStep& by = plan_.steps[static_cast<std::size_t>(known.defined)];
    const std::string maker = by.op + (by.layer.empty() ? "" : " in " + by.layer);
    return name.empty() ? "the result of " + maker : "'" + name + "' (" + maker + ")";
  }

  void refuse(std::uint32_t position, std::string what, const std::set<std::uint32_t>& values) {
    std::string& reason = analysis_.positions[position].refused;
    if (!reason.empty())
      return;
    reason = std::move(what);
    constexpr std::size_t most = 4;
    std::size_t named = 0;
    for (const std::uint32_t slot : values) {
      if (named == most) {
        reason += " and " + std::to_string(values.size() - most) + " more";
        break;
      }
      reason += (named++ == 0 ? ": " : ", ") + name_of(slot);
    }
  }

  [[nodiscard]] std::string step_name(std::uint32_t step) const {
    const PlacedStep& placed = plan_.steps[step];
    return placed.op + (placed.layer.empty() ? "" : " in " + placed.layer);
  }

  // Positions where the pass itself showed that a copy would behave differently.
  void refuse_observed() {
    std::map<Identity, std::uint32_t> written_by, reached_by;  // by a step at or after the position
    for (std::uint32_t position = static_cast<std::uint32_t>(plan_.steps.size()); position-- > 0;) {
      for (const Identity storage : writes_[position]) written_by[storage] = position;
      for (const Identity storage : reaches_[position]) reached_by[storage] = position;
      const Crossing& crossing = crossing_[position];
      for (const auto& [storage, by] : crossing.reached_by) {
        std::set<std::uint32_t> values;
        for (const std::size_t i : by) values.insert(crossing.slots[i]);
        const auto write = written_by.find(storage);
        const auto reach = reached_by.find(storage);
        if (write != written_by.end() || reach != reached_by.end()) {
          for (const std::size_t i : by) analysis_.positions[position].written_after[i] = true;
        }
        if (reach != reached_by.end() && position > 0)
          refuse(position,
                 "a value crosses whose memory " + step_name(reach->second) +
                     " later reaches beyond what the value shows",
                 values);
        if (write != written_by.end() && by.size() > 1)
          refuse(position,
                 (values.size() > 1 ? "values cross that share memory which "
                                    : "a value crosses that holds the same memory twice, which ") +
                     step_name(write->second) + " later changes in place",
                 values);
      }
    }
  }

  // The same by libtorch's alias analysis, which knows of other inputs than the example's.
  void refuse_declared() {
    std::vector<std::uint32_t> writers;
    for (std::uint32_t i = 0; i < plan_.steps.size(); ++i) {
      if (!plan_.steps[i].written.empty() && plan_.steps[i].node)
        writers.push_back(i);
    }
    if (writers.empty())
      return;
    MemoryQueries memory(plan_.graph);
    // The last steps that may change what a slot may share, and the elements of tensors in it.
    std::vector<std::int64_t> last_write(plan_.slots.size(), -1), last_element(last_write);
    for (std::uint32_t slot = 0; slot < plan_.slots.size(); ++slot) {
      for (const std::uint32_t writer : writers) {
        if (memory.may_write(plan_.steps[writer].node, plan_.slots[slot].value)) {
          last_write[slot] = writer;
          analysis_.memory.values[slot].writers.push_back(writer);
        }
        if (memory.may_write_elements(plan_.steps[writer].node, plan_.slots[slot].value))
          last_element[slot] = writer;
      }
    }
    std::map<std::pair<std::uint32_t, std::uint32_t>, bool> known;
    const auto may_share = [&](std::uint32_t a, std::uint32_t b) {
      const auto [found, fresh] = known.try_emplace(std::minmax(a, b));
      if (fresh)
        found->second = memory.may_share(plan_.slots[a].value, plan_.slots[b].value);
      return found->second;
    };
    for (std::uint32_t position = 0; position < plan_.steps.size(); ++position) {
      const auto& slots = crossing_[position].slots;
      for (std::size_t i = 0; i < slots.size(); ++i) {
        if (last_write[slots[i]] < position)
          continue;
        analysis_.positions[position].written_after[i] = true;
        for (std::size_t j = 0; j < slots.size() && position > 0; ++j) {
          const c10::Type& other = *plan_.slots[slots[j]].type;
          // What a list is appended to, its elements do not see.
          if (i == j || is_scalar(other) ||
              (last_element[slots[i]] < position && !is_container(other)) ||
              !may_share(slots[i], slots[j]))
            continue;
          refuse(position,
                 "values cross that may share memory which " +
                     step_name(static_cast<std::uint32_t>(last_write[slots[i]])) +
                     " later changes in place",
                 {slots[i], slots[j]});
        }
      }
    }
  }

  const Plan& plan_;
  Frame frame_;
  Analysis analysis_;
  std::unordered_set<Identity> constants_;
  std::unordered_set<Identity> kept_;
  std::vector<c10::weak_intrusive_ptr<c10::StorageImpl>> alive_;
  std::vector<std::set<Identity>> writes_;   // storages each step changes
  std::vector<std::set<Identity>> reaches_;  // storages it views beyond what it was given
  std::vector<Crossing> crossing_;
  std::unordered_map<Identity, std::uint32_t> numbers_;  // of memory, in the trace
};

}  // namespace

bool depends_on_sizes(const Plan& plan) {
  for (const PlacedStep& placed : plan.steps) {
    if (!placed.written.empty() || (placed.node && looks_behind(placed.node)))
      return true;
  }
  return false;
}

core::Result<Analysis> analyse(const Plan& plan, std::vector<c10::IValue> inputs, bool declared) {
  return guarded(Errc::invalid_argument, "", [&] {
    // Not inference mode: its tensors have no version counters to watch.
    at::NoGradGuard no_grad;
    return Observer(plan, std::move(inputs)).run(declared);
  });
}

}  // namespace cleave::inline v0::model
