// Bytes and accuracy of each codec at each cut.
#pragma once

#include <cleave/core/backend.hpp>
#include <cleave/core/result.hpp>
#include <cleave/profiler/profiler.hpp>
#include <cleave/table/profile.hpp>

#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

namespace cleave::inline v0::profiler {

struct CutOptions {
  std::span<const std::string> codecs;
  std::span<const Sample> samples;
  std::function<void(double)> progress;
  std::stop_token stop;
};

struct CutMeasurements {
  std::vector<table::CutProfile> cuts;
  core::Bytes reply;  // the encoded outputs
};

core::Result<CutMeasurements> measure_cuts(const core::Executable& model,
                                           const core::Values& example, const CutOptions& options);

// The cuts that a lossy codec may be used at: the first, and each with fewer bytes than all before
// it. A later cut with more bytes computes more on the slower host and sends more, too.
std::vector<bool> shrinking_cuts(std::span<const table::CutProfile> cuts);

}  // namespace cleave::inline v0::profiler
