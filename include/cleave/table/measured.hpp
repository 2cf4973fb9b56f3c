// The energy of a request that ran: the predictor's watts over measured time.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/units.hpp>
#include <cleave/table/predictor.hpp>

namespace cleave::inline v0::table {

/// What compose() does, with measured parts in place of predicted ones: busy power over edge
/// compute and encode, idle power over the rest of the latency, radio energy for the bytes that
/// really crossed, cloud power over decode and cloud compute. The watts, and so the origin, are the
/// ingredients'.
CLEAVE_EXPORT EnergyParts energy_of(const Ingredients& watts, const LatencyParts& measured,
                                    core::Bytes sent, core::Bytes received);

}  // namespace cleave::inline v0::table
