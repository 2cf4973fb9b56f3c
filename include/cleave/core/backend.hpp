// What performs a part of a network. exec runs requests through this, so it needs no libtorch.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/ids.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/step_graph.hpp>
#include <cleave/core/step_memory.hpp>
#include <cleave/core/tensor.hpp>
#include <cleave/core/units.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace cleave::inline v0::core {

/// A way to divide the network into a head and a tail, as users see it.
struct Cut {
  CutId id;
  std::uint32_t position = 0;  ///< steps in the head; 0 is all-cloud, all of them all-edge
  /// Readable: the module path of the step before, "features.3"; where the head is no prefix, the
  /// modules that give what crosses: "inception4a: branch1, branch2.0".
  std::string layer;
  std::string op;  ///< the last operator of the head, "aten::conv2d"; "input" for the first
  Bytes bytes;     ///< what crosses with the raw codec, for the example input
  /// The head's steps, if they are not the first `position` ones of the sequence; else empty.
  std::vector<StepRange> head = {};
};

/// How long one step of a pass took.
struct StepTime {
  std::uint32_t step = 0;
  Seconds time;
};

/// One network, lowered, with its weights. Immutable: new weights make a new Executable that is
/// swapped in. All members may be called from several threads at once; each call runs on the
/// calling thread (plus libtorch's intra-op threads, whose number is per calling thread).
class CLEAVE_EXPORT Executable {
 public:
  virtual ~Executable();

  [[nodiscard]] virtual Fingerprint fingerprint() const = 0;
  /// Of one order of the steps, by position; the first is all-cloud, the last all-edge. A network
  /// with branches can be cut at more places than these, see cut_at().
  [[nodiscard]] virtual std::span<const Cut> cuts() const = 0;
  /// Steps of the whole sequence.
  [[nodiscard]] virtual std::uint32_t step_count() const = 0;

  /// What a search for more cuts has to know. By default a chain that is cut at cuts() only.
  [[nodiscard]] virtual StepGraph step_graph() const;
  /// The cut whose head is these steps (as core::ranges_of() gives them). From then on run() knows
  /// its id; some thousand such cuts are remembered, the oldest are forgotten first, and asking
  /// again costs microseconds. By default only cuts() are known.
  /// Errc::invalid_argument: not such ranges, or not a head (see StepGraph); not_found: the network
  /// has no cut there; unsupported: cutting there would change results.
  [[nodiscard]] virtual Result<Cut> cut_at(std::span<const StepRange> head) const;

  /// Runs the steps that are in the head of `end` and not in that of `begin`, which it must
  /// contain. `values` are the network's inputs for the first cut, else what the stage before gave;
  /// the result is what lives across `end`, or the network's outputs for the last cut. The values
  /// given are not changed, so a caller can run the tail itself if a peer fails. begin == end gives
  /// `values` back. Errc::not_found: no such cut; Errc::invalid_argument: wrong number, dtype or
  /// shape of values.
  [[nodiscard]] virtual Result<Values> run(CutId begin, CutId end, const Values& values) const = 0;

  /// As run(), and appends the time of each step run to `times`.
  [[nodiscard]] virtual Result<Values> run_timed(CutId begin, CutId end, const Values& values,
                                                 std::vector<StepTime>& times) const = 0;

  /// What every step of the sequence needs of memory, from one pass that watches what is allocated.
  /// Errc::unsupported: the network cannot tell (the default); else as run().
  [[nodiscard]] virtual Result<std::vector<StepMemory>> measure_memory(const Values& inputs) const;

  /// Sets how many threads run() uses when called from this thread. Errc::unsupported if fixed.
  [[nodiscard]] virtual Result<void> set_threads(int threads) const = 0;
};

}  // namespace cleave::inline v0::core
