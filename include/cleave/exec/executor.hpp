// Performs one request at a given configuration on the edge, with the cloud's help where the
// configuration says so, and reports what each part took.
#pragma once

#include <cleave/core/backend.hpp>
#include <cleave/core/clock.hpp>
#include <cleave/core/configuration.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/sinks.hpp>
#include <cleave/device/arbiter.hpp>
#include <cleave/exec/remote.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>

namespace cleave::inline v0::exec {

/// What a request took, part by part; what did not happen is 0. The parts add up to the total, but
/// for rounding.
struct MeasuredParts {
  core::Seconds apply;         ///< changing knobs
  core::Seconds edge_compute;  ///< the head, and the tail too if the edge ran it
  core::Seconds encode;        ///< the cut tensors
  core::Seconds upload;        ///< the request's body arriving at the cloud, first byte to last
  core::Seconds queue;         ///< waiting for a worker in the cloud
  core::Seconds decode;        ///< in the cloud
  core::Seconds cloud_compute;
  core::Seconds reply;      ///< encoding the outputs there, receiving and decoding them here
  core::Seconds network;    ///< the rest: round trip, framing, hand-overs between threads
  core::Seconds abandoned;  ///< waiting for a cloud that did not answer
  core::Seconds total;
};

struct Execution {
  core::Values outputs;
  MeasuredParts parts;
  core::Bytes sent, received;  ///< bodies of the cloud's request and reply
  bool fell_back = false;      ///< the cloud did not deliver; the edge ran the tail itself
  std::optional<core::Error> remote_error;  ///< why
};

struct ExecutorOptions {
  std::shared_ptr<const core::Clock> clock;            ///< a SteadyClock if null
  core::MetricsSink* metrics = &core::null_metrics();  ///< must outlive the executor
};

struct ExecuteOptions {
  /// What the cloud may drop the work after; told to it with the request. 0: never.
  core::Seconds remaining;
  /// How long to wait for the cloud before the edge runs the tail itself.
  core::Seconds patience = core::Seconds(30);
  std::uint8_t priority = 1;
};

/// Makes a cut whose head is no prefix known to the model, by the head's steps; nothing to do for
/// the others, whose head is empty here. Errc::mismatch: these steps are another cut; else those of
/// core::Executable::cut_at().
CLEAVE_EXPORT core::Result<void> introduce(const core::Executable& model, core::CutId cut,
                                           std::span<const core::StepRange> head);

/// Thread-safe. execute() runs on the calling thread; thread-count knobs are applied there.
class CLEAVE_EXPORT Executor {
 public:
  /// `arbiter` may be null if the configurations name no edge knobs; `remote` may be null, which is
  /// a cloud that is never there. Both must outlive the executor.
  Executor(std::shared_ptr<const core::Executable> model, device::Arbiter* arbiter, Remote* remote,
           ExecutorOptions options = {});

  /// One request. The cut tensors are kept until the reply is in: if the link or the cloud fails,
  /// refuses, or takes longer than the patience, the tail runs here, once, and a reply that comes
  /// later is dropped. Errors are the model's (Errc::not_found: no such cut; invalid_argument:
  /// inputs) or the knobs'; a failing cloud is never one.
  [[nodiscard]] core::Result<Execution> execute(const core::Configuration& configuration,
                                                const core::Values& inputs,
                                                const ExecuteOptions& options = {});

  [[nodiscard]] const core::Executable& model() const { return *model_; }

 private:
  core::Result<void> finish_in_cloud(const core::Configuration& configuration,
                                     const core::Values& cut_values, const ExecuteOptions& options,
                                     Execution& execution);

  std::shared_ptr<const core::Executable> model_;
  device::Arbiter* arbiter_;
  Remote* remote_;
  ExecutorOptions options_;
};

}  // namespace cleave::inline v0::exec
