#include "cli/deadline_range.hpp"

#include "cli/parse.hpp"

#include <cleave/table/files.hpp>
#include <cleave/table/predictor.hpp>

#include <algorithm>
#include <limits>

namespace cleave::cli {
namespace {

using core::Errc;
using core::fail;
using core::Seconds;

// From the fastest configuration of the profile to its slowest.
Range latency_range(const table::Profile& profile) {
  Range range{Seconds(std::numeric_limits<double>::infinity()), Seconds(0)};
  core::Configuration configuration;
  configuration.stages.resize(2);
  configuration.codecs.resize(1);
  for (const table::CutProfile& cut : profile.cuts)
    for (const table::Setting& edge : profile.hosts[0].settings)
      for (const table::Setting& cloud : profile.hosts[1].settings)
        for (const std::string& codec : profile.codecs) {
          configuration.stages[0] = {core::edge_host, cut.id, edge.levels, cut.head};
          configuration.stages[1] = {core::cloud_host, profile.cuts.back().id, cloud.levels};
          configuration.codecs[0] = codec;
          const auto priced = table::price(profile, configuration);
          if (!priced)
            continue;  // a lossy codec where its accuracy was not measured
          const Seconds latency =
              table::compose(*priced, table::link_of(profile), Seconds(0)).latency.total();
          range.shortest = std::min(range.shortest, latency);
          range.longest = std::max(range.longest, latency);
        }
  return range;
}

}  // namespace

core::Result<Range> deadline_range(const std::string& text, const std::string& profile_path,
                                   const table::ParetoTable& table) {
  if (text.empty() && !profile_path.empty()) {
    const auto profile = table::load_profile(profile_path);
    if (!profile)
      return fail(profile);
    return latency_range(*profile);
  }
  if (text.empty()) {
    Range range{Seconds(std::numeric_limits<double>::infinity()), Seconds(0)};
    for (const table::TableRow& row : table.rows) {
      range.shortest = std::min(range.shortest, row.latency);
      range.longest = std::max(range.longest, row.latency);
    }
    return range;
  }
  const std::size_t colon = text.find(':');
  const auto shortest = parse_duration(text.substr(0, colon));
  if (!shortest)
    return fail(shortest);
  if (colon == std::string::npos)
    return Range{*shortest, *shortest};
  const auto longest = parse_duration(text.substr(colon + 1));
  if (!longest)
    return fail(longest);
  if (*longest < *shortest)
    return fail(Errc::invalid_argument, "the longest deadline is below the shortest", text);
  return Range{*shortest, *longest};
}

}  // namespace cleave::cli
