#include <cleave/exec/executor.hpp>
#include <cleave/exec/infer_protocol.hpp>
#include <cleave/transport/codec.hpp>

#include <algorithm>

namespace cleave::inline v0::exec {
namespace {

using core::Seconds;

// Adds the time from construction to stop() to a part.
class Stopwatch {
 public:
  explicit Stopwatch(const core::Clock& clock) : clock_(clock), start_(clock.now()) {}
  [[nodiscard]] Seconds elapsed() const { return clock_.now() - start_; }

 private:
  const core::Clock& clock_;
  Seconds start_;
};

}  // namespace

Remote::~Remote() = default;

core::Result<void> introduce(const core::Executable& model, core::CutId cut,
                             std::span<const core::StepRange> head) {
  if (head.empty())
    return {};
  const auto known = model.cut_at(head);
  if (!known)
    return core::fail(known);
  if (known->id != cut)
    return core::fail(
        core::Errc::mismatch,
        "the steps of cut " + to_string(cut) + " are those of cut " + to_string(known->id), "",
        "cuts belong to one structure of a model; profile and optimize it again");
  return {};
}

Executor::Executor(std::shared_ptr<const core::Executable> model, device::Arbiter* arbiter,
                   Remote* remote, ExecutorOptions options)
    : model_(std::move(model)), arbiter_(arbiter), remote_(remote), options_(std::move(options)) {
  if (!options_.clock)
    options_.clock = std::make_shared<core::SteadyClock>();
}

core::Result<Execution> Executor::execute(const core::Configuration& configuration,
                                          const core::Values& inputs,
                                          const ExecuteOptions& options) {
  if (configuration.stages.size() != 2 || configuration.codecs.size() != 1)
    return core::fail(core::Errc::invalid_argument,
                      "a configuration needs two stages and one codec");
  const core::CutId first = model_->cuts().front().id;
  const core::CutId last = model_->cuts().back().id;
  const core::CutId cut = configuration.cut();
  const Stopwatch whole(*options_.clock);
  Execution execution;
  MeasuredParts& parts = execution.parts;

  device::Lease lease;
  if (arbiter_ != nullptr) {
    const Stopwatch apply(*options_.clock);
    auto granted = arbiter_->acquire(configuration.stages.front().levels);
    if (!granted)
      return core::fail(granted);
    lease = std::move(*granted);
    parts.apply = apply.elapsed();
  }

  const Stopwatch head(*options_.clock);
  if (auto known = introduce(*model_, cut, configuration.stages.front().head); !known)
    return core::fail(known);
  auto cut_values = model_->run(first, cut, inputs);
  if (!cut_values)
    return core::fail(cut_values);
  parts.edge_compute = head.elapsed();

  if (cut == last) {
    execution.outputs = std::move(*cut_values);
  } else {
    const Seconds before_cloud = whole.elapsed();
    if (auto finished = finish_in_cloud(configuration, *cut_values, options, execution);
        !finished) {
      execution.fell_back = true;
      execution.remote_error = finished.error();
      // What the attempt took before it failed is neither link nor cloud time of a reply.
      parts.upload = parts.queue = parts.decode = parts.cloud_compute = parts.reply =
          parts.network = Seconds(0);
      parts.abandoned = whole.elapsed() - before_cloud - parts.encode;
      const Stopwatch tail(*options_.clock);
      auto outputs = model_->run(cut, last, *cut_values);
      if (!outputs)
        return core::fail(outputs);
      parts.edge_compute += tail.elapsed();
      execution.outputs = std::move(*outputs);
    }
  }
  parts.total = whole.elapsed();
  options_.metrics->observe("exec.total_seconds", parts.total.count());
  return execution;
}

core::Result<void> Executor::finish_in_cloud(const core::Configuration& configuration,
                                             const core::Values& cut_values,
                                             const ExecuteOptions& options, Execution& execution) {
  MeasuredParts& parts = execution.parts;
  if (remote_ == nullptr)
    return core::fail(core::Errc::unavailable, "no cloud is configured");
  const auto codec = transport::find_codec(configuration.codec());
  const auto raw = transport::find_codec("raw");
  if (!codec || !raw)
    return core::fail(codec ? raw : codec);

  const Stopwatch encode(*options_.clock);
  RemoteCall call;
  write_tail_request_header({model_->fingerprint(),
                             configuration.cut(),
                             configuration.codec(),
                             configuration.stages.back().levels,
                             {},
                             configuration.stages.front().head},
                            call.body);
  if (auto encoded = transport::encode_values(cut_values, **codec, call.body); !encoded)
    return encoded;
  parts.encode = encode.elapsed();

  call.service = infer_service;
  call.method = tail_method;
  call.priority = options.priority;
  call.remaining = options.remaining;
  call.patience = options.patience;
  const core::Bytes sent(static_cast<double>(call.body.size()));
  execution.sent = sent;
  const Stopwatch round(*options_.clock);
  const auto reply = remote_->call(std::move(call));
  if (!reply)
    return core::fail(reply);
  const Seconds took = round.elapsed();
  execution.received = core::Bytes(static_cast<double>(reply->body.size()));

  const Stopwatch receive(*options_.clock);
  const auto parsed = parse_tail_reply(reply->body);
  if (!parsed)
    return core::fail(parsed);
  auto outputs = transport::decode_values(parsed->outputs);
  if (!outputs)
    return core::fail(outputs);
  execution.outputs = std::move(*outputs);

  parts.upload = reply->upload;
  parts.queue = reply->queue;
  parts.decode = parsed->times.decode;
  parts.cloud_compute = parsed->times.compute;
  parts.reply = parsed->times.encode + reply->download + receive.elapsed();
  // The peer's clock runs at our pace but is read by the peer: bound what it claims by what was
  // seen here.
  parts.network =
      std::max(Seconds(0), took - reply->upload - reply->queue - reply->handler - reply->download);
  return {};
}

}  // namespace cleave::inline v0::exec
