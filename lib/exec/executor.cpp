#include <cleave/exec/executor.hpp>
#include <cleave/exec/infer_protocol.hpp>
#include <cleave/transport/codec.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <vector>

namespace cleave::inline v0::exec {
namespace {

using core::Seconds;

// The time since its construction.
class Stopwatch {
 public:
  explicit Stopwatch(const core::Clock& clock) : clock_(clock), start_(clock.now()) {}
  [[nodiscard]] Seconds elapsed() const { return clock_.now() - start_; }

 private:
  const core::Clock& clock_;
  Seconds start_;
};

// Where a reply arrives, perhaps after its caller has gone. Thread-safe.
class Mailbox {
 public:
  void put(core::Result<RemoteReply> reply) {
    {
      const std::lock_guard lock(mutex_);
      reply_ = std::move(reply);
    }
    arrived_.notify_all();
  }
  // False: nothing came in so long, which may be infinite.
  bool wait(Seconds at_most) {
    std::unique_lock lock(mutex_);
    const auto there = [this] { return reply_.has_value(); };
    // A year is as good as for ever, and fits a clock's ticks.
    const std::chrono::duration<double> time(std::clamp(at_most.count(), 0.0, 3.2e7));
    return arrived_.wait_for(lock, time, there);
  }
  bool full() const {
    const std::lock_guard lock(mutex_);
    return reply_.has_value();
  }
  // Once, when it is full.
  core::Result<RemoteReply> take() {
    const std::lock_guard lock(mutex_);
    return std::move(*reply_);
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  std::optional<core::Result<RemoteReply>> reply_;
};

// The pieces in which the edge runs a tail while a reply may still come: so many that little work
// is done after it has, so few that cutting costs nothing.
constexpr std::size_t most_pieces = 8;

// Where the pieces of a tail end, the network's end last.
std::vector<core::CutId> pieces(const core::Executable& model, const core::Stage& head) {
  const auto cuts = model.cuts();
  std::uint32_t begin = 0;  // all of the head lies before
  if (!head.head.empty())
    begin = head.head.back().end;
  else
    for (const core::Cut& cut : cuts)
      if (cut.id == head.end)
        begin = cut.position;
  std::vector<core::CutId> ends;
  const std::uint32_t steps = cuts.back().position - begin;
  std::uint32_t last = begin;
  for (const core::Cut& cut : cuts)
    if (&cut == &cuts.back() ||
        (cut.position > begin && (cut.position - last) * most_pieces >= steps)) {
      ends.push_back(cut.id);
      last = cut.position;
    }
  return ends;
}

}  // namespace

Remote::~Remote() = default;

RemoteStart Remote::start(RemoteCall call, Done done) {
  if ((call.choice.avoid & 1) != 0) {
    done(core::fail(core::Errc::unavailable, "there is no other endpoint"));
    return {};
  }
  done(this->call(std::move(call)));
  return {0, {}};
}

bool Remote::available(const RemoteChoice& choice) const {
  return (choice.avoid & 1) == 0;
}

void Remote::distrust(unsigned) {}

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

// One request from when its head is done: the cloud's answer, another endpoint's, or our own.
class Executor::Tail {
 public:
  Tail(const Executor& executor, const core::Configuration& configuration,
       const core::Values& cut_values, const ExecuteOptions& options, const Stopwatch& request,
       Execution& execution)
      : model_(*executor.model_),
        remote_(executor.remote_),
        clock_(*executor.options_.clock),
        configuration_(configuration),
        cut_values_(cut_values),
        options_(options),
        request_(request),
        execution_(execution),
        parts_(execution.parts) {}

  core::Result<void> finish() {
    RemoteChoice choice;
    choice.work = options_.cloud_work;
    choice.alternative = options_.local_tail;
    choice.model = model_.fingerprint();
    core::Error why{core::Errc::unavailable, "the cloud is not reachable", {}, {}};
    if (remote_ == nullptr)
      why.what = "no cloud is configured";
    while (remote_ != nullptr && lost_ < options_.patience && remote_->available(choice)) {
      auto call = prepare(choice);
      if (!call) {
        why = call.error();
        break;
      }
      const auto mailbox = std::make_shared<Mailbox>();
      const Stopwatch round(clock_);
      const RemoteStart started = remote_->start(
          std::move(*call),
          [mailbox](core::Result<RemoteReply> reply) { mailbox->put(std::move(reply)); });
      if (!mailbox->wait(options_.hedge - request_.elapsed()))
        return race(started, *mailbox, round);
      const auto answered = accept(mailbox->take(), started, round);
      parts_.abandoned = lost_;
      if (answered)
        return {};
      why = answered.error();
      lost_ += round.elapsed();
      if (!started.endpoint)
        break;
      choice.avoid |= std::uint64_t{1} << *started.endpoint;
    }
    return run_here(why);
  }

 private:
  // The request, encoded. Again for another endpoint: the bytes went with the first call.
  core::Result<RemoteCall> prepare(RemoteChoice& choice) {
    const auto codec = transport::find_codec(configuration_.codec());
    if (!codec)
      return core::fail(codec);
    const Stopwatch encode(clock_);
    RemoteCall call;
    write_tail_request_header({model_.fingerprint(),
                               configuration_.cut(),
                               configuration_.codec(),
                               configuration_.stages.back().levels,
                               {},
                               configuration_.stages.front().head},
                              call.body);
    if (auto encoded = transport::encode_values(cut_values_, **codec, call.body); !encoded)
      return core::fail(encoded);
    check_ = seal(call.body);
    parts_.encode += encode.elapsed();
    execution_.sent = choice.body = core::Bytes(static_cast<double>(call.body.size()));
    call.service = infer_service;
    call.method = tail_method;
    call.priority = options_.priority;
    call.patience = options_.patience - lost_;
    if (options_.remaining > Seconds(0))
      call.remaining = std::max(core::microseconds(1), options_.remaining - lost_);
    call.choice = choice;
    return call;
  }

  // The outputs of a reply, and what it says of its parts.
  core::Result<void> accept(core::Result<RemoteReply> reply, const RemoteStart& started,
                            const Stopwatch& round) {
    if (!reply)
      return core::fail(reply);
    const Seconds took = round.elapsed();
    const Stopwatch receive(clock_);
    const auto sealed = unseal(reply->body, check_);
    const auto parsed = sealed ? parse_tail_reply(sealed->message) : core::fail(sealed);
    auto outputs = parsed ? transport::decode_values(parsed->outputs) : core::fail(parsed);
    if (!outputs) {
      if (started.endpoint)
        remote_->distrust(*started.endpoint);
      return core::fail(outputs);
    }
    execution_.outputs = std::move(*outputs);
    execution_.received = core::Bytes(static_cast<double>(reply->body.size()));
    parts_.upload = reply->upload;
    parts_.queue = reply->queue;
    parts_.decode = parsed->times.decode;
    parts_.cloud_compute = parsed->times.compute;
    parts_.reply = parsed->times.encode + reply->download + receive.elapsed();
    // The peer's clock runs at our pace but is read by the peer: bound what it claims by what was
    // seen here.
    parts_.network = std::max(
        Seconds(0), took - reply->upload - reply->queue - reply->handler - reply->download);
    return {};
  }

  // Nothing came by the hedge: the tail runs here, piece by piece, until it or a reply is there.
  core::Result<void> race(const RemoteStart& started, Mailbox& mailbox, const Stopwatch& round) {
    core::Error why{core::Errc::timed_out,
                    "no reply by the time the edge had to begin itself",
                    {},
                    "the link or the cloud is slow"};
    const Seconds waited = round.elapsed();
    const Stopwatch tail(clock_);
    bool pending = true;
    // Whether a reply has come that is one.
    const auto answered = [&] {
      pending = false;
      const Seconds spent = tail.elapsed();
      const auto done = accept(mailbox.take(), started, round);
      if (!done)
        why = done.error();
      else
        parts_.hedged = spent;
      return done.has_value();
    };
    const core::CutId last = model_.cuts().back().id;
    core::CutId from = configuration_.cut();
    core::Result<core::Values> values = cut_values_;
    for (core::CutId to : pieces(model_, configuration_.stages.front())) {
      if (pending && mailbox.full() && answered()) {
        parts_.abandoned = lost_;
        return {};
      }
      auto next = model_.run(from, to, *values);
      if (!next && to != last)  // not every network can be cut there for every size of inputs
        next = model_.run(from, to = last, *values);
      values = std::move(next);
      if (!values || to == last)
        break;
      from = to;
    }
    if (!values && pending) {
      mailbox.wait(options_.patience);
      if (mailbox.full() && answered()) {
        parts_.abandoned = lost_;
        return {};
      }
    }
    if (pending && started.cancel)
      started.cancel();
    parts_.abandoned = lost_ + waited;
    return answer_here(std::move(values), tail, std::move(why));
  }

  core::Result<void> run_here(core::Error why) {
    const Stopwatch tail(clock_);
    parts_.abandoned = lost_;
    return answer_here(model_.run(configuration_.cut(), model_.cuts().back().id, cut_values_), tail,
                       std::move(why));
  }

  core::Result<void> answer_here(core::Result<core::Values> outputs, const Stopwatch& tail,
                                 core::Error why) {
    if (!outputs)
      return core::fail(outputs);
    parts_.edge_compute += tail.elapsed();
    execution_.outputs = std::move(*outputs);
    execution_.fell_back = true;
    execution_.remote_error = std::move(why);
    return {};
  }

  const core::Executable& model_;
  Remote* const remote_;
  const core::Clock& clock_;
  const core::Configuration& configuration_;
  const core::Values& cut_values_;  // kept until there is an answer
  const ExecuteOptions& options_;
  const Stopwatch& request_;
  Execution& execution_;
  MeasuredParts& parts_;
  std::uint64_t check_ = 0;  // of the request that was sent last
  Seconds lost_;             // to endpoints that failed
};

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
  } else if (auto finished =
                 Tail(*this, configuration, *cut_values, options, whole, execution).finish();
             !finished) {
    return core::fail(finished);
  }
  parts.total = whole.elapsed();
  options_.metrics->observe("exec.total_seconds", parts.total.count());
  return execution;
}

}  // namespace cleave::inline v0::exec
