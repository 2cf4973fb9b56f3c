#include "lib/runtime/waiting.hpp"

#include <algorithm>
#include <cmath>

namespace cleave::inline v0::runtime {

using core::Seconds;

exec::ExecuteOptions waiting(Seconds left, const scheduler::Decision& decision,
                             const table::Ingredients& in, Seconds tail, int under_way,
                             Hedge hedge) {
  const table::LatencyParts& expected = decision.prediction.latency;
  // The rest is encoded while the first bytes are on their way.
  const Seconds encode = std::min(expected.encode, in.encode_first);
  const Seconds before = expected.edge_compute + encode;
  const Seconds cloud_part = std::max(Seconds(0), decision.bound - decision.edge_wait - before);
  const Seconds normal = 2.0 * cloud_part * static_cast<double>(under_way) + core::milliseconds(20);
  exec::ExecuteOptions execute;
  execute.local_tail = tail;
  execute.cloud_work = expected.decode + expected.cloud_compute;
  execute.patience = normal + Seconds(1);
  if (std::isfinite(left.count())) {
    const Seconds last_moment = left - tail;
    const Seconds overdue = before + cloud_part * static_cast<double>(under_way);
    const Seconds sent = decision.switching + decision.edge_hold;
    execute.hedge = last_moment < sent        ? before + normal
                    : hedge == Hedge::overdue ? std::max(last_moment, overdue)
                                              : last_moment;
    // Kept for as long as the edge may need, since its reply still counts then.
    execute.patience = std::max(normal, execute.hedge) + tail;
  }
  execute.remaining = execute.patience;
  return execute;
}

}  // namespace cleave::inline v0::runtime
