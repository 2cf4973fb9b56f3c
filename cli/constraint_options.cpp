#include "cli/constraint_options.hpp"

#include "cli/parse.hpp"

#include <cleave/core/parse_units.hpp>

#include <string_view>
#include <tuple>
#include <utility>

namespace cleave::cli {

bool ConstraintOptions::any() const {
  return !max_edge_memory.empty() || !max_cloud_memory.empty() || !max_transfer.empty() ||
         !bandwidth.empty() || !rtt.empty() || no_raw_input || min_edge_steps != 0 ||
         max_edge_steps != UINT32_MAX || !allow_cuts.empty() || !deny_cuts.empty();
}

void add_constraint_options(CLI::App& command, ConstraintOptions& options) {
  command.add_option("--max-edge-memory", options.max_edge_memory,
                     "Most that the edge's part may take (512MB): weights, values, a message");
  command.add_option("--max-cloud-memory", options.max_cloud_memory,
                     "Most that the cloud's part may take");
  command.add_option("--max-transfer", options.max_transfer,
                     "Most that a request may send, encoded (200kB)");
  command.add_flag("--no-raw-input", options.no_raw_input,
                   "Only cuts that the network's input does not cross");
  command.add_option("--min-edge-steps", options.min_edge_steps,
                     "Steps of the network that run on the edge at least");
  command.add_option("--max-edge-steps", options.max_edge_steps, "... and at most");
  command.add_option("--allow-cut", options.allow_cuts,
                     "Only this cut and those named likewise: a layer, a module, an id or "
                     "all-cloud; all-edge stays (repeatable)");
  command.add_option("--deny-cut", options.deny_cuts,
                     "Not this cut: a layer, a module, an id, all-cloud or all-edge (repeatable)");
  command.add_option("--bandwidth", options.bandwidth,
                     "Make the table for every bandwidth of a range, 1mbit..100mbit");
  command.add_option("--rtt", options.rtt,
                     "Make the table for every round trip of a range, 5ms..100ms");
}

#ifdef CLEAVE_WITH_OPTIMIZER

namespace {

core::Result<core::Bytes> limit(const std::string& text) {
  if (text.empty())
    return core::Bytes(optimizer::Constraints::none);
  return core::parse_bytes(text);
}

// "A..B", or "A" for both.
template <class Quantity>
core::Result<std::pair<Quantity, Quantity>> parse_range(
    const std::string& option, const std::string& text,
    core::Result<Quantity> (*parse)(std::string_view)) {
  const auto dots = text.find("..");
  const auto low = parse(text.substr(0, dots));
  const auto high = dots == std::string::npos ? low : parse(text.substr(dots + std::size_t{2}));
  for (const auto& end : {low, high})
    if (!end)
      return core::fail(end.error().code, end.error().what, option + " " + text, end.error().hint);
  return std::pair(*low, *high);
}

}  // namespace

core::Result<optimizer::Constraints> constraints_of(const ConstraintOptions& options) {
  optimizer::Constraints out;
  for (const auto& [text, bound] : {std::pair(&options.max_edge_memory, &out.max_edge_memory),
                                    std::pair(&options.max_cloud_memory, &out.max_cloud_memory),
                                    std::pair(&options.max_transfer, &out.max_transfer)}) {
    const auto parsed = limit(*text);
    if (!parsed)
      return core::fail(parsed);
    *bound = *parsed;
  }
  out.no_raw_input = options.no_raw_input;
  out.min_edge_steps = options.min_edge_steps;
  out.max_edge_steps = options.max_edge_steps;
  out.allow_cuts = options.allow_cuts;
  out.deny_cuts = options.deny_cuts;
  return out;
}

core::Result<void> apply_range(const ConstraintOptions& options, const table::LinkState& reference,
                               optimizer::OptimizeOptions& out) {
  if (options.bandwidth.empty() && options.rtt.empty())
    return {};
  optimizer::LinkRange range{reference.up, reference.up, reference.round_trip,
                             reference.round_trip};
  if (!options.bandwidth.empty()) {
    const auto rates = parse_range<core::BytesPerSecond>(
        "--bandwidth", options.bandwidth,
        [](std::string_view text) { return core::parse_rate(text); });
    if (!rates)
      return core::fail(rates);
    std::tie(range.least, range.most) = *rates;
  }
  if (!options.rtt.empty()) {
    const auto trips = parse_range<core::Seconds>(
        "--rtt", options.rtt, [](std::string_view text) { return core::parse_duration(text); });
    if (!trips)
      return core::fail(trips);
    std::tie(range.shortest, range.longest) = *trips;
  }
  out.range = range;
  out.bandwidth_factors.clear();
  return {};
}

#endif

}  // namespace cleave::cli
