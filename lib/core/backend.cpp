#include <cleave/core/backend.hpp>

#include <algorithm>

namespace cleave::inline v0::core {

Executable::~Executable() = default;

StepGraph Executable::step_graph() const {
  StepGraph graph;
  graph.steps = step_count();
  std::vector<const Cut*> at(graph.steps + std::size_t{1}, nullptr);
  for (const Cut& cut : cuts()) {
    if (cut.head.empty())
      at[cut.position] = &cut;
  }
  std::uint32_t producer = StepGraph::inputs;
  for (std::uint32_t step = 0; step < graph.steps; ++step) {
    if (step > 0)
      graph.order.push_back({step - 1, step});
    if (at[step])
      graph.payloads.push_back({at[step]->bytes, producer, {step}, false});
    else
      graph.together.push_back({producer, step});
    producer = step;
  }
  return graph;
}

Result<std::vector<StepMemory>> Executable::measure_memory(const Values& /*inputs*/) const {
  return fail(Errc::unsupported, "this network does not tell how much memory its steps need");
}

Result<Cut> Executable::cut_at(std::span<const StepRange> head) const {
  if (auto checked = check_ranges(head, step_count()); !checked)
    return fail(checked);
  for (const Cut& cut : cuts()) {
    const bool same = cut.head.empty()
                          ? is_prefix(head) && cut.position == core::step_count(head)
                          : std::equal(cut.head.begin(), cut.head.end(), head.begin(), head.end());
    if (same)
      return cut;
  }
  return fail(Errc::not_found, "this network is not cut there");
}

}  // namespace cleave::inline v0::core
