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
  // Asked after each sample from the twentieth on: whether to leave the rest out. May be empty.
  std::function<bool()> enough = {};
  // In place of the model's cuts: cuts in no order, at each of which a lossy codec may be used.
  std::span<const core::Cut> others = {};
};

struct CutMeasurements {
  std::vector<table::CutProfile> cuts;
  core::Bytes reply;  // the encoded outputs
};

core::Result<CutMeasurements> measure_cuts(const core::Executable& model,
                                           const core::Values& example, const CutOptions& options);

// Sets what head and tail of each cut need of memory, in one pass. Nothing where the network cannot
// tell.
core::Result<void> measure_memory(const core::Executable& model, const core::Values& example,
                                  std::vector<table::CutProfile>& cuts);

// The cuts at which a lossy codec may be used: the first, each with fewer bytes than all before it,
// and each at the bottom of a valley of bytes (the first of equals), since a later cut that sends
// more than an earlier one still saves the cloud's energy. Elsewhere a neighbour sends less for
// about the same computing. Never the last: nothing is sent there.
std::vector<bool> useful_cuts(std::span<const table::CutProfile> cuts);

// Of what crosses at each cut, what is the network's input.
void trace_input(const core::StepGraph& graph, std::vector<table::CutProfile>& cuts);

}  // namespace cleave::inline v0::profiler
