#include <cleave/core/step_graph.hpp>

#include <algorithm>

namespace cleave::inline v0::core {

std::vector<StepRange> ranges_of(const StepSet& set) {
  std::vector<StepRange> ranges;
  for (std::uint32_t step = 0; step < set.size(); ++step) {
    if (!set[step])
      continue;
    if (!ranges.empty() && ranges.back().end == step)
      ++ranges.back().end;
    else
      ranges.push_back({step, step + 1});
  }
  return ranges;
}

std::uint32_t step_count(std::span<const StepRange> ranges) {
  std::uint32_t count = 0;
  for (const StepRange& range : ranges) count += range.end - range.begin;
  return count;
}

bool is_prefix(std::span<const StepRange> ranges) {
  return ranges.empty() || (ranges.size() == 1 && ranges.front().begin == 0);
}

Result<void> check_ranges(std::span<const StepRange> ranges, std::uint32_t steps) {
  std::uint32_t least = 0;
  for (const StepRange& range : ranges) {
    if (range.begin < least || range.end <= range.begin || range.end > steps)
      return fail(Errc::invalid_argument,
                  "the steps " + std::to_string(range.begin) + " to " + std::to_string(range.end) +
                      " are no part of a head of a network of " + std::to_string(steps) + " steps");
    least = range.end + 1;
  }
  return {};
}

StepSet set_of(std::span<const StepRange> ranges, std::uint32_t steps) {
  StepSet set(steps, false);
  for (const StepRange& range : ranges)
    std::fill(set.begin() + range.begin, set.begin() + range.end, true);
  return set;
}

bool is_head(const StepGraph& graph, const StepSet& set) {
  if (set.size() != graph.steps)
    return false;
  if (std::find(set.begin(), set.end(), true) == set.end())
    return true;
  for (const auto& [before, after] : graph.order) {
    if (set[after] && !set[before])
      return false;
  }
  for (const auto& [first, second] : graph.together) {
    if ((first == StepGraph::inputs || set[first]) && !set[second])
      return false;
  }
  return true;
}

namespace {

template <class Counts>
Bytes sum_across(const StepGraph& graph, const StepSet& head, Counts counts) {
  const bool all_edge = std::find(head.begin(), head.end(), false) == head.end();
  Bytes bytes;
  for (const StepGraph::Payload& payload : graph.payloads) {
    if (!counts(payload) || (payload.producer != StepGraph::inputs && !head[payload.producer]))
      continue;
    const bool needed = std::any_of(payload.consumers.begin(), payload.consumers.end(),
                                    [&](std::uint32_t consumer) { return !head[consumer]; });
    if (needed || (payload.output && !all_edge))
      bytes += payload.bytes;
  }
  return bytes;
}

}  // namespace

Bytes bytes_across(const StepGraph& graph, const StepSet& head) {
  return sum_across(graph, head, [](const StepGraph::Payload&) { return true; });
}

Bytes inputs_across(const StepGraph& graph, const StepSet& head) {
  return sum_across(graph, head, [](const StepGraph::Payload& payload) {
    return payload.producer == StepGraph::inputs;
  });
}

}  // namespace cleave::inline v0::core
