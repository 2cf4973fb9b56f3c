#include "profiler/crossing.hpp"

#include "profiler/statistics.hpp"

#include <algorithm>

namespace cleave::inline v0::profiler {
namespace {

using core::Seconds;

// A part's time less that of its steps, and what it gives.
struct Beyond {
  double seconds = 0;
  core::Values values;
};

core::Result<Beyond> run_part(const core::Executable& model, core::CutId begin, core::CutId end,
                              const core::Values& values, const core::Clock& clock) {
  std::vector<core::StepTime> times;
  const Seconds start = clock.now();
  auto given = model.run_timed(begin, end, values, times);
  const Seconds took = clock.now() - start;
  if (!given)
    return core::fail(given);
  Seconds steps;
  for (const core::StepTime& time : times) steps += time.time;
  return Beyond{std::max(0.0, (took - steps).count()), std::move(*given)};
}

// A dozen of those between the first and the last, from the fewest bytes to the most.
std::vector<const table::CutProfile*> spread_over_bytes(std::span<const table::CutProfile> cuts) {
  std::vector<const table::CutProfile*> between;
  for (std::size_t i = 1; i + 1 < cuts.size(); ++i)
    if (cuts[i].head.empty())
      between.push_back(&cuts[i]);
  std::stable_sort(between.begin(), between.end(),
                   [](const auto* a, const auto* b) { return a->raw < b->raw; });
  constexpr std::size_t most = 12;
  if (between.size() <= most)
    return between;
  std::vector<const table::CutProfile*> chosen;
  for (std::size_t i = 0; i < most; ++i)
    chosen.push_back(between[i * (between.size() - 1) / (most - 1)]);
  return chosen;
}

}  // namespace

table::CrossingCost line_through(const std::vector<double>& bytes,
                                 const std::vector<double>& seconds) {
  std::vector<double> slopes, rest;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    for (std::size_t k = i + 1; k < bytes.size(); ++k)
      if (bytes[i] != bytes[k])
        slopes.push_back((seconds[k] - seconds[i]) / (bytes[k] - bytes[i]));
  table::CrossingCost cost;
  cost.per_byte = std::max(0.0, median_of(slopes));
  for (std::size_t i = 0; i < bytes.size(); ++i)
    rest.push_back(seconds[i] - cost.per_byte * bytes[i]);
  cost.fixed = Seconds(std::max(0.0, median_of(rest)));
  return cost;
}

core::Result<Crossing> measure_crossing(const core::Executable& model, const core::Values& example,
                                        std::span<const table::CutProfile> cuts,
                                        const core::Clock& clock, Seconds limit,
                                        const std::stop_token& stop) {
  const core::CutId first = model.cuts().front().id, last = model.cuts().back().id;
  const auto chosen = spread_over_bytes(cuts);
  std::vector<std::vector<double>> leaving(chosen.size()), entering(chosen.size());
  constexpr int repeats = 5;
  const Seconds start = clock.now();
  for (int i = 0; i <= repeats; ++i) {
    if (i > 1 && clock.now() - start > limit)
      break;
    for (std::size_t c = 0; c < chosen.size(); ++c) {
      if (stop.stop_requested())
        return core::fail(core::Errc::cancelled, "interrupted");
      auto head = run_part(model, first, chosen[c]->id, example, clock);
      if (!head)
        return core::fail(head);
      const auto tail = run_part(model, chosen[c]->id, last, head->values, clock);
      if (!tail)
        return core::fail(tail);
      if (i == 0)  // warms up
        continue;
      leaving[c].push_back(head->seconds);
      entering[c].push_back(tail->seconds);
    }
  }
  std::vector<double> bytes, left, entered;
  for (std::size_t c = 0; c < chosen.size(); ++c) {
    bytes.push_back(chosen[c]->raw.count());
    left.push_back(median_of(leaving[c]));
    entered.push_back(median_of(entering[c]));
  }
  return Crossing{line_through(bytes, left), line_through(bytes, entered)};
}

}  // namespace cleave::inline v0::profiler
