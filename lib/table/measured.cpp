#include <cleave/table/measured.hpp>

#include <algorithm>

namespace cleave::inline v0::table {

EnergyParts energy_of(const Ingredients& watts, const LatencyParts& measured, core::Bytes sent,
                      core::Bytes received) {
  const core::Seconds busy = measured.edge_compute + measured.encode;
  const core::Seconds in_cloud = measured.decode + measured.cloud_compute;
  EnergyParts energy;
  energy.edge_compute = watts.edge_busy * busy;
  energy.edge_wait = watts.edge_idle * std::max(core::Seconds(), measured.total() - busy);
  energy.radio = watts.transmit * sent + watts.receive * received;
  energy.cloud_device = watts.cloud_device * in_cloud;
  energy.cloud_machine = watts.cloud_machine * in_cloud;
  energy.origin = watts.origin;
  return energy;
}

}  // namespace cleave::inline v0::table
