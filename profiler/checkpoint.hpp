// What an interrupted profile has measured so far, in a file that a later run goes on from.
//
// "CLVPART1", u64 key, u64 XXH3 of the rest, then the fields of Checkpoint in their order; counts
// are u32, lists of seconds u32 and f64 each. The format may change with every version of cleave,
// which is part of the key.
#pragma once

#include "profiler/crossing.hpp"
#include "profiler/cuts.hpp"
#include "profiler/host_samples.hpp"
#include "profiler/validate.hpp"

#include <cleave/core/clock.hpp>
#include <cleave/core/result.hpp>
#include <cleave/table/profile.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

namespace cleave::inline v0::profiler {

struct Checkpoint {
  double spent = 0;  // by all runs
  std::vector<table::HostProfile> cloud_halves;
  std::optional<CutMeasurements> cuts;
  HostSamples edge;
  std::optional<table::LinkProfile> link;
  std::optional<Crossing> crossing;
  std::vector<FitSample> fitted;        // of the configurations that are fitted to, as they come
  std::vector<CheckedLatency> checked;  // in the order in which they are drawn
};

// Whether both have the same combinations of levels in the same order.
bool same_settings(const table::HostProfile& a, const table::HostProfile& b);

// Holds "PATH.lock" and a lock on it until it goes. Of an empty path: nothing.
class PartialLock {
 public:
  PartialLock() = default;
  PartialLock(std::filesystem::path path, int file) : path_(std::move(path)), file_(file) {}
  PartialLock(PartialLock&& other) noexcept
      : path_(std::move(other.path_)), file_(std::exchange(other.file_, -1)) {}
  PartialLock& operator=(PartialLock&&) = delete;
  ~PartialLock();
  // The file descriptor, which is the caller's from now on.
  int release() { return std::exchange(file_, -1); }

 private:
  std::filesystem::path path_;
  int file_ = -1;
};
// Errc::in_use: another process, or another profile() of this one, has it; io, permission_denied.
core::Result<PartialLock> lock_partial(const std::filesystem::path& partial);

// Errc::corrupt; Errc::mismatch: of another key. `steps`, `codecs`: of the model and the options.
core::Result<Checkpoint> load_checkpoint(const std::filesystem::path& path, std::uint64_t key,
                                         std::size_t steps, std::size_t codecs);

// Writes a checkpoint from time to time.
class CheckpointFile {
 public:
  // An empty path: nothing is written.
  CheckpointFile(std::filesystem::path path, std::uint64_t key, const core::Clock& clock);
  // If the last time is more than a second ago.
  core::Result<void> save(const Checkpoint& checkpoint);
  // Now.
  core::Result<void> save_now(const Checkpoint& checkpoint);

 private:
  std::filesystem::path path_;
  std::uint64_t key_;
  const core::Clock& clock_;
  std::optional<core::Seconds> saved_;
};

}  // namespace cleave::inline v0::profiler
