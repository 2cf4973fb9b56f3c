// The parts that several exports share, as JSON with units in the key names.
#pragma once

#include <cleave/table/pareto_table.hpp>
#include <cleave/table/profile.hpp>

#include <nlohmann/json.hpp>

namespace cleave::inline v0::table {

using Json = nlohmann::ordered_json;

inline Json json_of(const LatencyParts& parts) {
  return {{"edge_compute_s", parts.edge_compute.count()},
          {"encode_s", parts.encode.count()},
          {"transfer_s", parts.transfer.count()},
          {"decode_s", parts.decode.count()},
          {"round_trip_s", parts.round_trip.count()},
          {"queue_s", parts.queue.count()},
          {"cloud_compute_s", parts.cloud_compute.count()},
          {"reply_s", parts.reply.count()},
          {"overhead_s", parts.overhead.count()}};
}

inline Json json_of(const EnergyParts& parts) {
  return {{"edge_compute_j", parts.edge_compute.count()},
          {"edge_wait_j", parts.edge_wait.count()},
          {"radio_j", parts.radio.count()},
          {"cloud_device_j", parts.cloud_device.count()},
          {"cloud_machine_j", parts.cloud_machine.count()},
          {"origin", to_string(parts.origin)}};
}

/// Text that came from elsewhere need not be UTF-8; JSON must be.
inline std::string dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace cleave::inline v0::table
