#include "lib/model/analysis.hpp"

#include "lib/model/guard.hpp"
#include "lib/model/layout.hpp"

#include <torch/csrc/jit/ir/alias_analysis.h>

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

// Numbers, strings and the like, which nothing can change in place.
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

  core::Result<Analysis> run() {
    const auto count = static_cast<std::uint32_t>(plan_.steps.size());
    analysis_.steps.resize(count);
    analysis_.positions.resize(count + 1);
    writes_.resize(count);
    reaches_.resize(count);
    crossing_.resize(count + 1);
    torch::jit::Stack stack;
    for (std::uint32_t i = 0; i < count; ++i) {
      look(i, plan_.live(i));
      if (auto ran = step(i, stack); !ran)
        return fail(ran);
    }
    look_at_outputs();
    refuse_observed();
    refuse_declared();
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
    }
    for (auto& [storage, views] : regions)
      analysis_.positions[position].bytes += bytes_of(std::move(views));
    analysis_.positions[position].written_after.assign(crossing.slots.size(), false);
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
          },
          [](Identity) {});
    }
    for (const std::uint32_t written : placed.written) {
      walk(
          arguments[written], [&](const at::Tensor& tensor) { writes.insert(storage_of(tensor)); },
          [&](Identity container) { writes.insert(container); });
    }
    arguments.clear();

    plan_.run_step(index, frame_, stack);

    for (const auto& [tensor, version] : versions) {
      if (tensor._version() != version)
        writes.insert(storage_of(tensor));
    }
    facts.computes = !writes.empty();
    for (const Identity written : writes) {
      if (constants_.count(written))
        return fail(Errc::unsupported, placed.op + " changes the model's own weights or constants",
                    placed.layer, "a model that can be cut must be a function of its inputs");
    }
    bool first = true;
    for (const std::uint32_t slot : placed.results) {
      if (slot == no_slot)
        continue;
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
                facts.aliases_undeclared = true;
            }
          },
          [](Identity) {});
    }
    return {};
  }

  // Whether a step says that it may give back its arguments' memory. Containers and control flow
  // always may.
  static bool declares_alias(const PlacedStep& placed) {
    const auto* schema = placed.node ? placed.node->maybeSchema() : nullptr;
    if (!schema || !placed.node->kind().is_aten())
      return true;
    return std::any_of(schema->returns().begin(), schema->returns().end(), [](const auto& given) {
      return given.alias_info() || given.type()->kind() == c10::TypeKind::ListType;
    });
  }

  void refuse(std::uint32_t position, std::uint32_t step, const char* what) {
    std::string& reason = analysis_.positions[position].refused;
    const PlacedStep& placed = plan_.steps[step];
    if (reason.empty())
      reason = std::string(what) + placed.op + (placed.layer.empty() ? "" : " in " + placed.layer) +
               " later " + (reaches_[step].empty() ? "changes in place" : "reaches beyond");
  }

  // Positions where the pass itself showed that a copy would behave differently.
  void refuse_observed() {
    std::map<Identity, std::uint32_t> written_by, reached_by;  // by a step at or after the position
    for (std::uint32_t position = static_cast<std::uint32_t>(plan_.steps.size()); position-- > 0;) {
      for (const Identity storage : writes_[position]) written_by[storage] = position;
      for (const Identity storage : reaches_[position]) reached_by[storage] = position;
      for (const auto& [storage, by] : crossing_[position].reached_by) {
        if (const auto reach = reached_by.find(storage); reach != reached_by.end() && position > 0)
          refuse(position, reach->second, "a view crosses whose memory ");
        const auto write = written_by.find(storage);
        if (write == written_by.end())
          continue;
        for (const std::size_t i : by) analysis_.positions[position].written_after[i] = true;
        if (by.size() > 1 && position > 0)
          refuse(position, write->second, "two values cross that share memory which ");
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
    const jit::AliasDb aliases(plan_.graph);
    // The last step that may write to what a slot may alias.
    std::vector<std::int64_t> last_write(plan_.slots.size(), -1);
    for (std::uint32_t slot = 0; slot < plan_.slots.size(); ++slot) {
      if (is_scalar(*plan_.slots[slot].type))
        continue;
      for (const std::uint32_t writer : writers) {
        if (aliases.writesToAlias(plan_.steps[writer].node, {plan_.slots[slot].value}))
          last_write[slot] = writer;
      }
    }
    for (std::uint32_t position = 0; position < plan_.steps.size(); ++position) {
      const auto& slots = crossing_[position].slots;
      for (std::size_t i = 0; i < slots.size(); ++i) {
        if (last_write[slots[i]] < position)
          continue;
        analysis_.positions[position].written_after[i] = true;
        for (std::size_t j = 0; j < slots.size() && position > 0; ++j) {
          if (i != j &&
              aliases.mayContainAlias(plan_.slots[slots[i]].value, plan_.slots[slots[j]].value))
            refuse(position, static_cast<std::uint32_t>(last_write[slots[i]]),
                   "two values cross that may share memory which ");
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
};

}  // namespace

core::Result<Analysis> analyse(const Plan& plan, std::vector<c10::IValue> inputs) {
  return guarded(Errc::invalid_argument, "", [&] {
    // Not inference mode: its tensors have no version counters to watch.
    at::NoGradGuard no_grad;
    return Observer(plan, std::move(inputs)).run();
  });
}

}  // namespace cleave::inline v0::model
