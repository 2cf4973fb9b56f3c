#include "lib/model/plan.hpp"

#include "lib/model/device.hpp"

#include <chrono>

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

void Plan::run_step(std::uint32_t index, Frame& frame, torch::jit::Stack& stack) const {
  const PlacedStep& placed = steps[index];
  stack.clear();
  for (const Source& source : placed.arguments) {
    if (source.constant)
      stack.push_back(constants[source.index]);
    else if (source.last_use)
      stack.push_back(std::move(frame[source.index]));
    else
      stack.push_back(frame[source.index]);
  }
  placed.step->run(stack);
  TORCH_CHECK(stack.size() == placed.results.size(), placed.op, " gave ", stack.size(),
              " results instead of ", placed.results.size());
  for (std::size_t i = 0; i < placed.results.size(); ++i) {
    if (placed.results[i] != no_slot)
      frame[placed.results[i]] = std::move(stack[i]);
  }
}

void Plan::run(std::uint32_t begin, std::uint32_t end, Frame& frame,
               std::vector<core::StepTime>* times) const {
  torch::jit::Stack stack;
  if (!times) {
    for (std::uint32_t i = begin; i < end; ++i) run_step(i, frame, stack);
    return;
  }
  using Clock = std::chrono::steady_clock;
  times->reserve(times->size() + (end - begin));
  synchronise(device);
  auto before = Clock::now();
  for (std::uint32_t i = begin; i < end; ++i) {
    run_step(i, frame, stack);
    stack.clear();  // what a step lets go of is freed in its own time
    synchronise(device);
    const auto after = Clock::now();
    times->push_back({i, core::Seconds(std::chrono::duration<double>(after - before).count())});
    before = after;
  }
}

}  // namespace cleave::inline v0::model
