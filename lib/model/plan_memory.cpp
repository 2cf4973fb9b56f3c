#include "lib/model/device.hpp"
#include "lib/model/guard.hpp"
#include "lib/model/memory_watch.hpp"
#include "lib/model/plan_model.hpp"
#include "lib/model/step_weights.hpp"

namespace cleave::inline v0::model {

core::Result<std::vector<core::StepMemory>> PlanModel::measure_memory(
    const core::Values& inputs) const {
  // Kernels are prepared, and the sizes looked at, by a pass that is not watched.
  const core::CutId first = cuts_.front().id, last = cuts_.back().id;
  if (auto ran = run_between(first, last, inputs, nullptr); !ran)
    return core::fail(ran);
  using Memory = std::vector<core::StepMemory>;
  return guarded(core::Errc::invalid_argument, facts_.name, [&]() -> core::Result<Memory> {
    const DeviceScope here(plan_->device);
    const PassModes modes(writes_);
    auto frame = enter(*positions_.front(), inputs);
    if (!frame)
      return core::fail(frame);
    Memory memory;
    torch::jit::Stack stack;
    MemoryWatch watch;
    for (std::uint32_t i = 0; i < plan_->steps.size(); ++i) {
      watch.restart();
      plan_->run_step(i, *frame, stack);
      stack.clear();
      core::StepMemory& step = memory.emplace_back();
      step.working = core::Bytes(static_cast<double>(watch.peak()));
      for (const WeightPiece& piece : weights_of(*plan_, plan_->steps[i]))
        step.weights.push_back({reinterpret_cast<std::uintptr_t>(piece.memory),
                                core::Bytes(static_cast<double>(piece.bytes))});
    }
    return memory;
  });
}

}  // namespace cleave::inline v0::model
