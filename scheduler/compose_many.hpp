// compose() for all rows of a table at once.
#pragma once

#include "scheduler/corrections.hpp"

#include <cleave/table/pareto_table.hpp>

#include <array>
#include <cstddef>
#include <vector>

namespace cleave::inline v0::scheduler {

/// Sixty-four rows, each ingredient side by side, so that the compiler computes several rows with
/// one instruction. What a row without the cloud does not have is 0.
struct RowBatch {
  static constexpr std::size_t size = 64;
  using Column = std::array<double, size>;
  alignas(64) Column edge_compute{}, cloud_compute{}, encode_first{}, encode_rest{}, decode_rest{},
      decode_last{}, overhead{}, up{}, down{}, ramp{}, busy{}, idle{},
      cloud_power{}, transmit{}, receive{};
  alignas(64) Column uses_cloud{};  ///< 1 or 0
};

/// The factors of as many rows.
struct FactorBatch {
  alignas(64) RowBatch::Column edge{}, move{}, cloud{}, power{};
  void set(std::size_t i, const Factors& factors) {
    edge[i] = factors.edge;
    move[i] = factors.move;
    cloud[i] = factors.cloud;
    power[i] = factors.power;
  }
};

/// What compose_row() takes from a prediction, s, J and W.
struct ComposedBatch {
  alignas(64) RowBatch::Column latency{}, energy{}, edge_energy{}, busy{}, idle{},
      edge_compute{}, hold{};
};

/// Row r is at r % 64 of batch r / 64; the last one is filled up with rows of nothing.
std::vector<RowBatch> batches_of(const table::ParetoTable& table);

/// What table::compose() gives for the corrected ingredients on the corrected link with an empty
/// queue: the same operations in the same order, so the same bits, unless the compiler fuses
/// multiplications and additions (not on x86-64). Energy is at the table's boundary.
void compose_batch(const RowBatch& __restrict in, const FactorBatch& __restrict factors,
                   const table::LinkState& link, ComposedBatch& __restrict out);

}  // namespace cleave::inline v0::scheduler
