// `cleave optimize A.profile B.profile`: several networks on one device.
#pragma once

#include <cleave/core/result.hpp>

#include <string>
#include <vector>
#ifdef CLEAVE_WITH_OPTIMIZER
#include <cleave/optimizer/optimize.hpp>
#endif

namespace cleave::cli {

/// What is asked of each network: none, one for all, or one per profile.
struct JointOptions {
  std::vector<double> rates;           ///< requests a second; none: 1
  std::vector<std::string> deadlines;  ///< none: as long as it takes
  double max_edge_load = 1, max_link_load = 1;
};

#ifdef CLEAVE_WITH_OPTIMIZER
/// Prints the joint front, and writes into the folder `out` a table per network, searched with
/// `options`, and joint.json with every joint choice.
core::Result<void> optimize_jointly(const std::vector<std::string>& profiles,
                                    const JointOptions& given,
                                    const optimizer::OptimizeOptions& options,
                                    const std::string& out, bool json);
#endif

}  // namespace cleave::cli
