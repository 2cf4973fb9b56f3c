#include "scheduler/compose_many.hpp"

#include <limits>

namespace cleave::inline v0::scheduler {
namespace {

double cloud_power(const table::Ingredients& in, core::Boundary boundary) {
  switch (boundary) {
    case core::Boundary::edge:
      return 0;
    case core::Boundary::edge_cloud_device:
      return in.cloud_device.count();
    case core::Boundary::edge_cloud_machine:
      return in.cloud_machine.count();
  }
  return 0;
}

// What is chosen is always computed, and divided by numbers that are not 0 where it counts, so that
// there is no branch.
double time_for(double bytes, double rate) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const double time = rate > 0 ? bytes / rate : infinity;
  return bytes > 0 ? time : 0;
}

double energy_of(double power, double time) {
  const double energy = power * time;
  return power == 0 ? 0 : energy;
}

}  // namespace

std::vector<RowBatch> batches_of(const table::ParetoTable& table) {
  std::vector<RowBatch> out((table.rows.size() + RowBatch::size - 1) / RowBatch::size);
  for (std::size_t row = 0; row < table.rows.size(); ++row) {
    const table::Ingredients& in = table.rows[row].ingredients;
    RowBatch& batch = out[row / RowBatch::size];
    const std::size_t i = row % RowBatch::size;
    batch.edge_compute[i] = in.edge_compute.count();
    batch.busy[i] = in.edge_busy.count();
    batch.idle[i] = in.edge_idle.count();
    if (!in.uses_cloud)
      continue;
    batch.uses_cloud[i] = 1;
    batch.cloud_compute[i] = in.cloud_compute.count();
    batch.encode_first[i] = in.encode_first.count();
    batch.encode_rest[i] = in.encode_rest.count();
    batch.decode_rest[i] = in.decode_rest.count();
    batch.decode_last[i] = in.decode_last.count();
    batch.overhead[i] = in.overhead.count();
    batch.up[i] = in.up.count();
    batch.down[i] = in.down.count();
    batch.ramp[i] = in.ramp_round_trips;
    batch.cloud_power[i] = cloud_power(in, table.boundary);
    batch.transmit[i] = in.transmit.count();
    batch.receive[i] = in.receive.count();
  }
  return out;
}

void compose_batch(const RowBatch& __restrict in, const FactorBatch& __restrict factors,
                   const table::LinkState& link, ComposedBatch& __restrict out) {
  const double round_trip_now = link.round_trip.count();
  const double up_now = link.up.count(), down_now = link.down.count();
  for (std::size_t i = 0; i < RowBatch::size; ++i) {
    const double move = factors.move[i], power = factors.power[i];
    const double edge_compute = in.edge_compute[i] * factors.edge[i];
    const double cloud_compute = in.cloud_compute[i] * factors.cloud[i];
    const double encode_first = in.encode_first[i] * move;
    const double encode_rest = in.encode_rest[i] * move;
    const double decode_rest = in.decode_rest[i] * move;
    const double decode_last = in.decode_last[i] * move;
    const double busy = in.busy[i] * power, idle = in.idle[i] * power;
    const double round_trip = in.uses_cloud[i] > 0 ? round_trip_now * move : 0;

    const double encode = encode_first + encode_rest;
    const double decode = decode_rest + decode_last;
    const double transfer = time_for(in.up[i], up_now / move) + in.ramp[i] * round_trip;
    // Of the three that overlap, the longest is the one that is waited for.
    const double coding = encode_rest > decode_rest ? encode_rest : decode_rest;
    const bool sending = transfer >= coding;
    const bool encoding = !sending & (encode_rest >= decode_rest);
    const bool decoding = !sending & !(encode_rest >= decode_rest);
    const double encode_seen = encoding ? encode_first + encode_rest : encode_first;
    const double decode_seen = decoding ? decode_last + decode_rest : decode_last;
    const double transfer_seen = sending ? transfer : 0;
    const double latency = edge_compute + encode_seen + transfer_seen + decode_seen + round_trip +
                           cloud_compute + time_for(in.down[i], down_now / move) +
                           in.overhead[i] * move;

    const double waiting = latency - edge_compute - encode;
    const double radio = in.transmit[i] * power * in.up[i] + in.receive[i] * power * in.down[i];
    const double edge = energy_of(busy, edge_compute) + energy_of(busy, encode) +
                        energy_of(idle, waiting > 0 ? waiting : 0) + radio;
    out.latency[i] = latency;
    out.edge_energy[i] = edge;
    out.energy[i] = edge + energy_of(in.cloud_power[i], decode + cloud_compute);
    out.busy[i] = busy;
    out.idle[i] = idle;
    out.edge_compute[i] = edge_compute;
    out.hold[i] = edge_compute + encode;
  }
}

}  // namespace cleave::inline v0::scheduler
