// The pieces in which the edge runs a tail while a reply may still come.
#pragma once

#include <cleave/core/backend.hpp>
#include <cleave/core/configuration.hpp>
#include <cleave/core/result.hpp>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

namespace cleave::inline v0::exec {

/// Pieces that end at cuts and take about equally long: nothing is looked at while one runs, so a
/// long one keeps a reply waiting and works on for nothing. How long steps take is learnt from the
/// first pieces that run; until then all count as equally long. Thread-safe.
class TailPieces {
 public:
  /// So many that little work is done after a reply has come, so few that cutting costs nothing.
  static constexpr std::size_t most = 8;

  explicit TailPieces(const core::Executable& model);

  /// Where the pieces of what follows `head` end, the network's end last.
  [[nodiscard]] std::vector<core::CutId> ends(const core::Stage& head) const;

  /// One piece, as core::Executable::run().
  [[nodiscard]] core::Result<core::Values> run(core::CutId begin, core::CutId end,
                                               const core::Values& values);

 private:
  // The first run of a step may also set things up, so the least of a few counts.
  static constexpr int enough = 3;
  struct Step {
    core::Seconds least;
    int runs = 0;
  };

  [[nodiscard]] bool known(std::uint32_t begin, std::uint32_t end) const;
  // Of one of the model's cuts(); others are heads that are no first steps of it.
  [[nodiscard]] std::optional<std::uint32_t> position(core::CutId cut) const;

  const core::Executable& model_;
  mutable std::mutex mutex_;
  std::vector<Step> steps_;
};

}  // namespace cleave::inline v0::exec
