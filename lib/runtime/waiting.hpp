// How long a request waits for the cloud, and when the edge begins beside it.
#pragma once

#include <cleave/core/units.hpp>
#include <cleave/exec/executor.hpp>
#include <cleave/runtime/edge_client.hpp>
#include <cleave/scheduler/scheduler.hpp>
#include <cleave/table/predictor.hpp>

namespace cleave::inline v0::runtime {

/// `left`: of the deadline, infinite if there is none. `in`: of the row decided on, `tail`: what
/// the edge would take for what that leaves to the cloud. `under_way`: requests that share link and
/// cloud, this one included.
///
/// Twice what the cloud's part is bounded by, for each request under way, is still normal. With a
/// deadline the edge begins with the tail when the Hedge says so; where it will be too late to make
/// the deadline alone when the head's output is sent, the cloud is the better hope for as long as
/// that is normal. Without one the cloud has a second more.
exec::ExecuteOptions waiting(core::Seconds left, const scheduler::Decision& decision,
                             const table::Ingredients& in, core::Seconds tail, int under_way,
                             Hedge hedge);

}  // namespace cleave::inline v0::runtime
