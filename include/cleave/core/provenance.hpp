// Where figures were measured: the machine, and the software that ran there.
#pragma once

#include <cleave/core/export.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cleave::inline v0::core {

struct Library {
  std::string name, version;
  friend bool operator==(const Library&, const Library&) = default;
};

/// Empty fields (0 for `cpus`) are not known: files of older versions do not tell, and a program
/// without libtorch does not know its version.
struct Provenance {
  std::string machine;             ///< its name on the network
  std::string processor;           ///< as the kernel names it, or the board
  std::uint32_t cpus = 0;          ///< logical processors online
  std::string device;              ///< what runs the network: "cpu", "cuda:0"
  std::vector<Library> libraries;  ///< cleave, and what the network runs on: libtorch, onednn

  [[nodiscard]] bool known() const { return *this != Provenance(); }
  friend bool operator==(const Provenance&, const Provenance&) = default;
};

/// What differs, a text each: "processor Cortex-A72, here Cortex-A76". What one of the two does not
/// know is not compared, libraries that only one of them has included.
CLEAVE_EXPORT std::vector<std::string> differences(const Provenance& made, const Provenance& here);

/// "camera-1, Cortex-A72, 4 CPUs, device cpu, cleave 0.1.0, libtorch 1.13.1"; "unknown".
CLEAVE_EXPORT std::string to_string(const Provenance& provenance);

}  // namespace cleave::inline v0::core
