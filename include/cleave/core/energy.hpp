// Energy never travels without whose it is and where the figure comes from.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/units.hpp>

#include <cstdint>
#include <string_view>

namespace cleave::inline v0::core {

/// Whose joules are counted. With only the cloud's accelerator counted, offloading looks cheap;
/// with its whole machine, dear: the order of policies can turn round.
enum class Boundary : std::uint8_t {
  edge = 0,                ///< the edge device with its radio
  edge_cloud_device = 1,   ///< and what the request adds to the cloud's processor
  edge_cloud_machine = 2,  ///< and the cloud's whole machine while it serves the request
};

enum class Origin : std::uint8_t {
  measured = 0,  ///< by a meter
  modelled = 1,  ///< from published or fitted watts and measured time
};

/// "edge", "edge+cloud device", "edge+cloud machine"
CLEAVE_EXPORT std::string_view to_string(Boundary boundary);
/// "measured", "modelled"
CLEAVE_EXPORT std::string_view to_string(Origin origin);

struct Energy {
  Joules joules;
  Boundary boundary = Boundary::edge;
  Origin origin = Origin::modelled;
};

}  // namespace cleave::inline v0::core
