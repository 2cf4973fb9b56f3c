#include "lib/table/random.hpp"

#include <cleave/table/workload.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace cleave::inline v0::table {
namespace {

using core::Seconds;

// Linear interpolation between the closest ranks.
double quantile(const std::vector<double>& sorted, double q) {
  if (sorted.empty())
    return std::numeric_limits<double>::quiet_NaN();
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  const std::size_t high = std::min(low + 1, sorted.size() - 1);
  if (sorted[low] == sorted[high])
    return sorted[low];
  return sorted[low] + (at - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

}  // namespace

std::vector<RequestSpec> weibull_workload(std::size_t count, std::uint64_t seed, Seconds shortest,
                                          Seconds longest, std::size_t inputs, double shape) {
  std::mt19937_64 engine(seed);
  std::vector<double> draws(count);
  for (double& draw : draws) draw = std::pow(-std::log1p(-uniform(engine)), 1 / shape);
  std::vector<std::size_t> order;
  std::vector<RequestSpec> requests(count);
  if (count == 0)
    return requests;
  const auto [least, most] = std::minmax_element(draws.begin(), draws.end());
  const double low = *least;
  const double range = *most - low;
  for (std::size_t i = 0; i < count; ++i) {
    const double share = range > 0 ? (draws[i] - low) / range : 1;
    double deadline = shortest.count() + share * (longest - shortest).count();
    // Whole nanoseconds, so that the last bit of a libm's logarithm does not matter.
    deadline = std::round(deadline * 1e9) / 1e9;
    requests[i].deadline = share == 0   ? shortest
                           : share == 1 ? longest
                                        : std::clamp(Seconds(deadline), shortest, longest);
  }
  for (RequestSpec& request : requests) {
    if (inputs == 0)
      break;
    if (order.empty()) {
      order.resize(inputs);
      std::iota(order.begin(), order.end(), std::size_t{0});
    }
    const std::size_t pick = below(engine, order.size());
    request.input = static_cast<std::uint32_t>(order[pick]);
    order[pick] = order.back();
    order.pop_back();
  }
  return requests;
}

std::string_view to_string(DecisionKind kind) {
  switch (kind) {
    case DecisionKind::edge:
      return "edge";
    case DecisionKind::cloud:
      return "cloud";
    case DecisionKind::split:
      return "split";
  }
  return "unknown";
}

RunSummary summarise(const RunLog& log) {
  RunSummary out;
  out.policy = log.policy;
  out.boundary = log.boundary;
  out.requests = log.outcomes.size();
  out.origin = log.outcomes.empty() ? core::Origin::modelled : core::Origin::measured;
  std::vector<double> latencies;
  std::size_t labelled = 0;
  std::size_t right = 0;
  for (const RequestOutcome& outcome : log.outcomes) {
    switch (outcome.decided) {
      case DecisionKind::edge:
        ++out.on_edge;
        break;
      case DecisionKind::cloud:
        ++out.on_cloud;
        break;
      case DecisionKind::split:
        ++out.split;
        break;
    }
    out.missed += outcome.met() ? 0 : 1;
    out.fell_back += outcome.fell_back ? 1 : 0;
    if (outcome.energy.origin == core::Origin::modelled)
      out.origin = core::Origin::modelled;
    if (!outcome.error.empty()) {
      ++out.failed;
      continue;
    }
    latencies.push_back(outcome.latency.count());
    out.mean_energy += outcome.energy.total(log.boundary);
    if (outcome.label_class >= 0) {
      ++labelled;
      right += outcome.predicted_class == outcome.label_class ? 1 : 0;
    }
  }
  out.mean_energy = out.mean_energy / static_cast<double>(latencies.size());
  std::sort(latencies.begin(), latencies.end());
  out.median_latency = Seconds(quantile(latencies, 0.5));
  out.p95_latency = Seconds(quantile(latencies, 0.95));
  out.accuracy = labelled > 0 ? static_cast<double>(right) / static_cast<double>(labelled)
                              : std::numeric_limits<double>::quiet_NaN();
  return out;
}

}  // namespace cleave::inline v0::table
