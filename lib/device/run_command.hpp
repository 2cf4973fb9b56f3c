// A user's command, run within a time and checked.
#pragma once

#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>

#include <string>

namespace cleave::inline v0::device {

/// What `sh -c command` prints on standard output, without trailing white space; 64 KiB at most. It
/// runs in a process group of its own, without input; when it has ended, or its time is up, whoever
/// is left in the group is killed. Errors: timed_out, refused (exit status not 0, or a signal; says
/// the last line of standard error), exhausted (it printed more), io.
core::Result<std::string> run_command(const std::string& command, core::Seconds timeout);

}  // namespace cleave::inline v0::device
