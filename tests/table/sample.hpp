// A small profile and table whose every field has a value of its own. The golden files hold exactly
// these, so they never change; a new field gets its own value and a new golden file.
#pragma once

#include <cleave/table/pareto_table.hpp>
#include <cleave/table/profile.hpp>

namespace cleave::tests {

/// Two codecs (raw, int8), four cuts over five steps, two edge settings, one cloud setting.
table::Profile sample_profile();
/// The same with a cut across branches, which files of version 1 do not know.
table::Profile sample_graph_profile();
/// The same with machines and libraries, which files of versions 1 and 2 do not know.
table::Profile sample_located_profile();
/// The same with a predicted setting, which files of versions 1 to 3 do not know.
table::Profile sample_predicted_profile();
/// The same with memory, outliers, exchanges and conditions, which files of versions 1 to 4 do not
/// know.
table::Profile sample_observed_profile();
/// The same with where the input crosses, which files of versions 1 to 5 do not know.
table::Profile sample_private_profile();
/// Two rows: all-edge and a split.
table::ParetoTable sample_table();
/// The same with such a cut in its second row.
table::ParetoTable sample_graph_table();
/// The same with machines and libraries.
table::ParetoTable sample_located_table();

/// The configuration of a sample profile's cut, codec and edge level; cloud level 0.
core::Configuration sample_configuration(const table::Profile& profile, std::size_t cut,
                                         const std::string& codec, core::LevelIndex edge_level);

}  // namespace cleave::tests
