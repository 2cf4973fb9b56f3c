#include "lib/runtime/energy_split.hpp"

#include <cleave/runtime/shared_edge.hpp>

namespace cleave::inline v0::runtime {

SharedEdge::SharedEdge(SharedEdgeOptions options)
    : streams_({.computing = options.computing, .budget = std::move(options.budget)}),
      turns_(std::make_shared<exec::Turns>(options.computing)) {
  if (options.meter)
    metered_ = std::make_unique<EnergySplit>(std::move(options.meter), *options.log);
}

SharedEdge::~SharedEdge() = default;

}  // namespace cleave::inline v0::runtime
