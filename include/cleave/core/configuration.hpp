// Knobs, and one point in the space that the optimizer searches and the scheduler picks from.
#pragma once

#include <cleave/core/ids.hpp>
#include <cleave/core/step_graph.hpp>
#include <cleave/core/units.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace cleave::inline v0::core {

/// One setting of a knob.
struct Level {
  std::string label;  ///< what people read: "1500 MHz", "2"
  double value = 0;   ///< in the knob's unit
  friend bool operator==(const Level&, const Level&) = default;
};

/// A discrete hardware setting.
struct Knob {
  std::string name;  ///< "cpu_share", "threads", "cpu_frequency", ...
  HostIndex host = edge_host;
  std::string unit;           ///< "share of one CPU", "threads", "Hz"; "" for words
  std::vector<Level> levels;  ///< ascending by value; for words in the order given
  bool categorical = false;   ///< the levels are words without an order
  Seconds switch_cost;        ///< what changing it takes, measured; 0 if not measured
  friend bool operator==(const Knob&, const Knob&) = default;
};

/// An index into Knob::levels.
using LevelIndex = std::uint16_t;

/// A part of the graph on one host. The stage runs from where the one before it ended (the inputs,
/// for the first) up to `end`.
struct Stage {
  HostIndex host = edge_host;
  CutId end;  ///< the cut it stops at; for the last stage the end of the network
  std::vector<LevelIndex> levels;  ///< one per knob of that host, in the profile's order
  /// The steps that have run when the stage ends, if they are not the first ones of the sequence
  /// (Cut::head): with them a host that has not heard of the cut can run from it.
  std::vector<StepRange> head = {};
  friend bool operator==(const Stage&, const Stage&) = default;
};

/// An ordered list of stages with a codec per hop between them; today two stages (edge, cloud), so
/// one cut, one codec. A stage may be empty: all-cloud ends the edge's stage at the first cut,
/// all-edge at the last.
struct Configuration {
  std::vector<Stage> stages;
  std::vector<std::string> codecs;  ///< one per hop, by name: "raw", "fp16", "int8", ...

  [[nodiscard]] const CutId& cut() const { return stages.front().end; }
  [[nodiscard]] const std::string& codec() const { return codecs.front(); }
  friend bool operator==(const Configuration&, const Configuration&) = default;
};

}  // namespace cleave::inline v0::core
