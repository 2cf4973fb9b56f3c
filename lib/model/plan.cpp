#include "lib/model/plan.hpp"

#include "lib/model/device.hpp"
#include "lib/model/layout.hpp"

#include <chrono>
#include <optional>
#include <unordered_set>

namespace cleave::inline v0::model {

std::vector<std::uint32_t> Plan::live(std::uint32_t position) const {
  if (position == 0)
    return inputs;
  std::vector<std::uint32_t> result;
  for (std::uint32_t slot = 0; slot < slots.size(); ++slot) {
    if (slots[slot].defined < position && slots[slot].last_use >= position)
      result.push_back(slot);
  }
  return result;
}

c10::IValue converted(BufferPool& pool, c10::IValue value, bool blocked, Want want) {
  if (!value.isTensor())
    return want == Want::plain ? to_plain(value) : value;
  const Layout from = blocked ? Layout::blocked : Layout::plain;
  const Layout to = want == Want::blocked         ? Layout::blocked
                    : want == Want::channels_last ? Layout::channels_last
                                                  : Layout::plain;
  return to_layout(pool, value.toTensor(), from, to);
}

void mark_last_uses(Plan& plan) {
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    std::unordered_set<std::uint32_t> taken;
    auto& arguments = plan.steps[i].arguments;
    for (auto it = arguments.rbegin(); it != arguments.rend(); ++it) {
      if (!it->constant && plan.slots[it->index].last_use == static_cast<std::int64_t>(i))
        it->last_use = taken.insert(it->index).second;
    }
  }
}

void Plan::run_step(std::uint32_t index, Frame& frame, torch::jit::Stack& stack,
                    const std::uint8_t* lets_go) const {
  const PlacedStep& placed = steps[index];
  stack.clear();
  for (const Source& source : placed.arguments) {
    const bool take = lets_go ? *lets_go++ != 0 : source.last_use;
    if (source.constant)
      stack.push_back(constants[source.index]);
    else if (take)
      stack.push_back(std::move(frame[source.index]));
    else
      stack.push_back(frame[source.index]);
  }
  for (std::size_t i = 0; i < placed.wants.size(); ++i) {
    const Source& source = placed.arguments[i];
    const bool blocked = !source.constant && slots[source.index].blocked;
    if (blocked || placed.wants[i] != Want::as_it_is)
      stack[i] = converted(*pool, std::move(stack[i]), blocked, placed.wants[i]);
  }
  placed.step->run(stack);
  TORCH_CHECK(stack.size() == placed.results.size(), placed.op, " gave ", stack.size(),
              " results instead of ", placed.results.size());
  for (std::size_t i = 0; i < placed.results.size(); ++i) {
    if (placed.results[i] != no_slot)
      frame[placed.results[i]] = std::move(stack[i]);
  }
}

namespace {

using Clock = std::chrono::steady_clock;

// Takes the time of one step after the other.
class Laps {
 public:
  Laps(std::vector<core::StepTime>& times, c10::Device device) : times_(times), device_(device) {
    synchronise(device_);
    before_ = Clock::now();
  }
  void lap(std::uint32_t step) {
    synchronise(device_);
    const auto now = Clock::now();
    times_.push_back({step, core::Seconds(std::chrono::duration<double>(now - before_).count())});
    before_ = now;
  }

 private:
  std::vector<core::StepTime>& times_;
  c10::Device device_;
  Clock::time_point before_;
};

}  // namespace

void Plan::run(std::uint32_t begin, std::uint32_t end, Frame& frame,
               std::vector<core::StepTime>* times) const {
  torch::jit::Stack stack;
  if (!times) {
    for (std::uint32_t i = begin; i < end; ++i) run_step(i, frame, stack);
    return;
  }
  times->reserve(times->size() + (end - begin));
  Laps laps(*times, device);
  for (std::uint32_t i = begin; i < end; ++i) {
    run_step(i, frame, stack);
    stack.clear();  // what a step lets go of is freed in its own time
    laps.lap(i);
  }
}

void Plan::run(std::span<const std::uint32_t> indices, std::span<const std::uint8_t> lets_go,
               Frame& frame, std::vector<core::StepTime>* times) const {
  torch::jit::Stack stack;
  std::optional<Laps> laps;
  if (times) {
    times->reserve(times->size() + indices.size());
    laps.emplace(*times, device);
  }
  const std::uint8_t* next = lets_go.data();
  for (const std::uint32_t i : indices) {
    run_step(i, frame, stack, next);
    next += steps[i].arguments.size();
    if (laps) {
      stack.clear();
      laps->lap(i);
    }
  }
}

}  // namespace cleave::inline v0::model
