// A host as hardware: the board it is or stands for, its knobs ready to be leased, and its watts.
#pragma once

#include <cleave/core/energy.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/ids.hpp>
#include <cleave/core/result.hpp>
#include <cleave/device/arbiter.hpp>
#include <cleave/device/board.hpp>
#include <cleave/device/files.hpp>
#include <cleave/device/pace.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace cleave::inline v0::device {

/// A host's watts at one level of each of its knobs.
struct HostPower {
  core::Watts busy, idle;    ///< the device while it computes, and while it waits
  core::Watts machine_busy;  ///< the machine around it; an edge board is its own machine
  core::Origin origin = core::Origin::modelled;
};
using PowerOf = std::function<HostPower(std::span<const core::LevelIndex> levels)>;

/// How a quota keeps a share of the CPU: so much CPU time for each thread at work in every period.
struct ShareSlice {
  core::Seconds quota, period;
};
/// At one level of each knob; nothing where no quota is at work.
using SliceOf = std::function<std::optional<ShareSlice>(std::span<const core::LevelIndex> levels)>;

/// How a share of this machine's CPU stands for a board.
enum class Emulation {
  /// A control group's quota: with version 1 of the calling thread and those it starts later, with
  /// version 2 of the whole process.
  quota,
  /// The network is run at Host::pace, for which it has to be wrapped in an exec::PacedExecutable.
  pace,
};

struct HostOptions {
  core::HostIndex host = core::edge_host;
  std::string board = "raspberry_pi_4";  ///< a name or a .json file, see find_board()
  /// Above 0: this share of a CPU of this machine, per thread, stands for the whole board at its
  /// highest frequency, and less for lower ones. 0: this machine is what it is; an edge with
  /// cpufreq then has its frequency as a knob.
  double emulate_share = 0;
  Emulation emulate_by = Emulation::quota;
  std::vector<std::string> levels;  ///< the board's to use, by label or MHz; empty: all
  std::vector<int> threads = {1};   ///< levels of the thread knob, ascending
  std::vector<std::string> knobs;   ///< more knobs, as open_governor() takes them
  std::string radio;                ///< whose energy is counted; "": a wired link, not counted
};

/// The knobs are, in this order: the frequency (emulated or real) if there is one, then those of
/// HostOptions::knobs, then the threads. Power comes from the board: an emulated board is
/// represented as a whole, the most threads standing for all its cores; otherwise a thread is a
/// core. The board's level is the nearest to "cpu_frequency", or, of a board whose levels are power
/// modes, the one whose label or mode is the level of one of the knobs; without such a knob the
/// highest. Of other knobs (a GPU's clock) the board knows nothing, so its watts stay the same
/// there.
struct Host {
  Board board;  ///< with the selected levels only
  std::shared_ptr<Arbiter> knobs;
  PowerOf power;
  const Radio* radio = nullptr;      ///< of `board`
  std::shared_ptr<const Pace> pace;  ///< of an emulation by pace, else null
  SliceOf slice;                     ///< of an emulation by quota, else empty
};

/// `set_threads` is called on the thread that leases the knobs, e.g. with
/// `[model](int n) { return model->set_threads(n); }`. Errors: those of find_board() and the
/// governors; invalid_argument (no such level or radio, threads, a knob named twice, an emulation
/// of power modes or with other knobs beside it).
CLEAVE_EXPORT core::Result<std::unique_ptr<Host>> open_host(
    const HostOptions& options, std::function<core::Result<void>(int)> set_threads,
    const Machine& machine = {});

}  // namespace cleave::inline v0::device
