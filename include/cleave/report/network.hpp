// A network as a picture: its steps with the values that pass by them, and where it can be cut.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/units.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace cleave::inline v0::report {

struct NetworkPicture {
  struct Step {
    std::string layer, op;
    double share = 0;                  ///< of a pass's time or work, 0..1
    bool computes = true;              ///< others are not drawn: what passes through them is
    std::vector<std::uint32_t> needs;  ///< earlier steps whose results it reads
    bool reads_input = false;          ///< an input of the network
  };
  /// A place after some steps.
  struct Cut {
    std::string id;
    std::uint32_t position = 0;        ///< steps before it
    std::vector<core::Bytes> encoded;  ///< one per codec
    double share = 0;                  ///< of the pass before it
    std::string refused;               ///< why the network must not be cut here; "" if it may
  };
  std::string name;
  std::string share_of;             ///< "time of a pass on this machine, one thread"
  std::vector<std::string> codecs;  ///< "raw" first
  std::vector<Step> steps;
  std::vector<Cut> cuts;  ///< ascending; of those at one position the first is drawn
};

/// An SVG element for a page of html(): one row a computing step, with a line down the left for
/// each value that is still needed (so branches run side by side), and beside it what would cross a
/// cut behind the step and how much of the pass lies before. Colours come from the page's style.
CLEAVE_EXPORT std::string network_svg(const NetworkPicture& network);

}  // namespace cleave::inline v0::report
