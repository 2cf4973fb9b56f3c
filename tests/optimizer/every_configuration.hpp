// Every configuration that a profile prices, by nested loops: what a search is compared with.
#pragma once

#include <cleave/table/predictor.hpp>
#include <cleave/table/profile.hpp>

#include <vector>

namespace cleave::test {

struct PricedConfiguration {
  core::Configuration configuration;
  table::Ingredients ingredients;
  const table::CutProfile* cut = nullptr;  // of the profile
  bool all_edge = false;
};

/// All-edge once per setting of the edge. `profile` must outlive the result.
inline std::vector<PricedConfiguration> every_configuration(const table::Profile& profile) {
  std::vector<PricedConfiguration> out;
  for (const table::CutProfile& cut : profile.cuts) {
    const bool all_edge = cut.id == profile.cuts.back().id;
    for (const std::string& codec : profile.codecs)
      for (const table::Setting& edge : profile.hosts[0].settings)
        for (const table::Setting& cloud : profile.hosts[1].settings) {
          if (all_edge && (codec != profile.codecs[0] || &cloud != &profile.hosts[1].settings[0]))
            continue;
          core::Configuration c;
          c.stages = {{core::edge_host, cut.id, edge.levels},
                      {core::cloud_host, profile.cuts.back().id, cloud.levels}};
          c.codecs = {codec};
          if (const auto priced = table::price(profile, c))
            out.push_back({c, *priced, &cut, all_edge});
        }
  }
  return out;
}

}  // namespace cleave::test
