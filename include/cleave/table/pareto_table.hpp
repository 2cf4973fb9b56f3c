// The configurations worth keeping, as the optimizer leaves them for the scheduler.
#pragma once

#include <cleave/core/configuration.hpp>
#include <cleave/core/energy.hpp>
#include <cleave/core/ids.hpp>
#include <cleave/core/provenance.hpp>
#include <cleave/table/predictor.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace cleave::inline v0::table {

struct TableRow {
  core::Configuration configuration;
  Ingredients ingredients;
  std::string label;      ///< for people: "features.7 int8 | 1500 MHz, 2 threads | 2 threads"
  core::Seconds latency;  ///< predicted on the reference link with an empty queue
  core::Joules energy;    ///< at the table's boundary
  bool on_front = true;   ///< false: kept because it is within the margin of the front
  friend bool operator==(const TableRow&, const TableRow&) = default;
};

/// How the table was found; printed, never decided on.
struct SearchSummary {
  std::string algorithm;
  std::uint64_t seed = 0;
  std::uint64_t space = 0;        ///< feasible configurations, if countable
  std::uint64_t evaluations = 0;  ///< distinct configurations looked at
  double hypervolume = 0;         ///< log latency x log energy (x accuracy)
  friend bool operator==(const SearchSummary&, const SearchSummary&) = default;
};

struct ParetoTable {
  core::Fingerprint model;
  std::string model_name;
  std::vector<core::Knob> edge_knobs, cloud_knobs;
  core::Boundary boundary = core::Boundary::edge_cloud_device;
  LinkState reference;         ///< the link that TableRow::latency was predicted for
  double margin = 0;           ///< rows within this relative margin of the front are kept too
  std::vector<TableRow> rows;  ///< by ascending energy
  SearchSummary search;
  /// Where the profile was made, edge and cloud; unknown for observations, and in files of format 2
  /// and older.
  std::array<core::Provenance, 2> made_on;
  friend bool operator==(const ParetoTable&, const ParetoTable&) = default;
};

}  // namespace cleave::inline v0::table
