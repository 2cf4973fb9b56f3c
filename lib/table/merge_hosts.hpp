// The halves of one machine from several profiles, united.
#pragma once

#include <cleave/core/result.hpp>
#include <cleave/table/profile.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace cleave::inline v0::table {

// A half, and where its profile has each codec that is kept.
struct HalfOf {
  std::string name;  // the input's
  const HostProfile* host = nullptr;
  std::vector<std::size_t> codecs;
};

// merge() says how. `side` is "edge" or "cloud"; notes are added to. Errc::mismatch: not one
// machine, other knobs, other watts.
core::Result<HostProfile> unite_halves(const std::vector<HalfOf>& halves, const std::string& side,
                                       std::vector<std::string>& notes);

}  // namespace cleave::inline v0::table
