// How the cloud's half of a profile crosses the network: parsed by hand, every count bounded.
//
// Service "profile", method "measure".
//   request: u8 format (1), u64 structure, u64 weights, u32 count of codec names (strings), u32
//            passes, f64 seconds at least per setting, then the example inputs, encoded with "raw".
//   reply:   u8 format (1), string name, board, source; f64 transmit, receive (J/B);
//            u32 knobs: string name, u8 host, string unit, u8 categorical, f64 switch cost,
//                       u32 levels: string label, f64 value;
//            u32 settings: u32 levels: u16; u32 steps: timing; timing whole;
//                       u32 codecs: 4 x f64; f64 busy, idle, machine watts; u8 origin;
//            a timing: f64 mean, median, spread; u32 samples.
// Method "machine", which clouds of 0.1 may lack.
//   request: empty. reply: u8 format (1), string machine, processor, u32 cpus, string device,
//            u32 libraries: string name, version.
// Method "conditions", which clouds of 0.1 may lack: of the last measurement.
//   request: empty. reply: u8 format (1), f64 steal, other load, largest other load, temperature
//            (negative: not known), f64 seconds waited, f64 seconds taken.
#pragma once

#include <cleave/core/ids.hpp>
#include <cleave/core/provenance.hpp>
#include <cleave/core/result.hpp>
#include <cleave/table/profile.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace cleave::inline v0::profiler {

struct MeasureRequest {
  core::Fingerprint model;
  std::vector<std::string> codecs;
  std::uint32_t passes = 0;
  core::Seconds time;
  std::span<const std::byte> inputs;  // encoded; points into the message
};

// Appends the request up to, and without, the encoded inputs.
void write_measure_request_header(const MeasureRequest& request, std::vector<std::byte>& out);
core::Result<MeasureRequest> parse_measure_request(std::span<const std::byte> message);

std::vector<std::byte> write_host_profile(const table::HostProfile& host);
// Errc::corrupt unless every setting has `steps` steps, `codecs` codecs and a valid level per knob.
core::Result<table::HostProfile> parse_host_profile(std::span<const std::byte> message,
                                                    std::size_t steps, std::size_t codecs);

std::vector<std::byte> write_conditions(const table::Conditions& conditions);
core::Result<table::Conditions> parse_conditions(std::span<const std::byte> message);

std::vector<std::byte> write_provenance(const core::Provenance& provenance);
core::Result<core::Provenance> parse_provenance(std::span<const std::byte> message);

}  // namespace cleave::inline v0::profiler
