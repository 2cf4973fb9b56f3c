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
#include <cleave/exec/turns.hpp>

#include <cstddef>
#include <limits>
#include <memory>
#include <optional>
#include <span>

namespace cleave::inline v0::exec {

/// What a request took, part by part; what did not happen is 0. The parts add up to the total, but
/// for rounding.
struct MeasuredParts {
  core::Seconds apply;         ///< changing knobs
  core::Seconds edge_compute;  ///< the head, and the tail too if the edge ran it
  core::Seconds encode;        ///< the cut tensors, until the first of their bytes can be sent
  /// The request's body arriving at the cloud, first byte to last. What is encoded and decoded
  /// meanwhile is in here: it lasts as long as the slowest of encoder, link and decoder.
  core::Seconds upload;
  core::Seconds queue;   ///< waiting for a worker in the cloud
  core::Seconds decode;  ///< in the cloud, what was left of it when all had arrived
  core::Seconds cloud_compute;
  core::Seconds reply;    ///< encoding the outputs there, receiving and decoding them here
  core::Seconds network;  ///< the rest: round trip, framing, hand-overs between threads
  /// Waiting for a cloud that did not answer, and then for another turn (ExecuteOptions::turn) and
  /// the tail's settings.
  core::Seconds abandoned;
  /// A reply that had come while the edge changed its knobs for the tail, or ran a piece of it,
  /// until that was done.
  core::Seconds unread;
  core::Seconds total;
  /// Encoding what followed the first bytes. It ran while these were sent, so it is no part of the
  /// total.
  core::Seconds encode_meanwhile;
  /// The edge's work on the tail that was not needed, since the reply came before it was done. It
  /// ran while the request waited, so it is no part of the total.
  core::Seconds hedged;
  core::Seconds local_tail;  ///< of edge_compute, the tail: see ExecuteOptions::tail_levels
};

class TailPieces;

struct Execution {
  core::Values outputs;
  MeasuredParts parts;
  core::Bytes sent, received;  ///< bodies of the cloud's request and reply
  bool fell_back = false;      ///< the cloud did not deliver; the edge ran the tail itself
  std::optional<core::Error> remote_error;  ///< why
  /// The knobs were left at ExecuteOptions::tail_levels, and not at those of the head.
  bool at_tail_levels = false;
};

struct ExecutorOptions {
  std::shared_ptr<const core::Clock> clock;            ///< a SteadyClock if null
  core::MetricsSink* metrics = &core::null_metrics();  ///< must outlive the executor
};

struct ExecuteOptions {
  /// What the cloud may drop the work after; told to it with the request. 0: never.
  core::Seconds remaining = {};
  /// How long to wait for the cloud before it is given up, from when the request's first bytes are
  /// encoded.
  core::Seconds patience = core::Seconds(30);
  /// From the call of execute(): when the edge begins with the tail itself without giving the cloud
  /// up. Whoever is done first gives the answer, and the other one stops. So a request with a
  /// deadline is in time though the cloud goes silent: hedge = deadline - time of the local tail.
  core::Seconds hedge = core::Seconds(std::numeric_limits<double>::infinity());
  /// What the tail is expected to take here: an endpoint after the first is only tried if it is
  /// expected to be faster.
  core::Seconds local_tail = core::Seconds(std::numeric_limits<double>::infinity());
  /// What the edge's knobs are set to for it. Empty, or if they cannot be had: as for the head.
  /// Must live as long as the call.
  std::span<const core::LevelIndex> tail_levels = {};
  /// What the cloud is expected to take for it: decode, compute and encode.
  core::Seconds cloud_work = {};
  std::uint8_t priority = 1;
  /// A turn that the caller holds: it ends when the request is encoded and the knobs are free for
  /// the next one, and is taken again for a tail. So heads and tails on this host wait for one
  /// another, and not for requests that are elsewhere. Null: nobody waits.
  Turn* turn = nullptr;
};

/// Makes a cut whose head is no prefix known to the model, by the head's steps; nothing to do for
/// the others, whose head is empty here. Errc::mismatch: these steps are another cut; else those of
/// core::Executable::cut_at().
CLEAVE_EXPORT core::Result<void> introduce(const core::Executable& model, core::CutId cut,
                                           std::span<const core::StepRange> head);

/// Thread-safe. execute() runs on the calling thread; thread-count knobs are applied there. The
/// cut tensors are encoded piece by piece while the pieces before are sent; those of one piece
/// (transport::piece_bytes) are encoded first. The knobs are leased while something runs on this
/// host, not while the request is elsewhere.
class CLEAVE_EXPORT Executor {
 public:
  /// `arbiter` may be null if the configurations name no edge knobs; `remote` may be null, which is
  /// a cloud that is never there. Both must outlive the executor.
  Executor(std::shared_ptr<const core::Executable> model, device::Arbiter* arbiter, Remote* remote,
           ExecutorOptions options = {});

  /// One request. The cut tensors are kept until the reply is in: if the link or the cloud fails or
  /// refuses, another endpoint gets the request if there is one that is faster than this host; if
  /// none is, or the cloud takes longer than the patience or the hedge, the tail runs here. There
  /// is one answer, and a reply that comes after it is dropped. Errors are the model's
  /// (Errc::not_found: no such cut; invalid_argument: inputs) or the knobs'; a failing cloud is
  /// never one.
  [[nodiscard]] core::Result<Execution> execute(const core::Configuration& configuration,
                                                const core::Values& inputs,
                                                const ExecuteOptions& options = {});

  [[nodiscard]] const core::Executable& model() const { return *model_; }

 private:
  class Tail;

  std::shared_ptr<const core::Executable> model_;
  device::Arbiter* arbiter_;
  Remote* remote_;
  ExecutorOptions options_;
  std::shared_ptr<TailPieces> pieces_;
};

}  // namespace cleave::inline v0::exec
