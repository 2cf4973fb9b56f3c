#include "lib/exec/tail_pieces.hpp"

#include <cleave/core/bytes.hpp>
#include <cleave/core/hash.hpp>
#include <cleave/exec/executor.hpp>
#include <cleave/exec/infer_protocol.hpp>
#include <cleave/transport/codec.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <new>
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
  // `turns`: whose caller may wait for a turn and for the reply at once; may be null.
  Mailbox(std::shared_ptr<const core::Clock> clock, std::shared_ptr<Turns> turns)
      : clock_(std::move(clock)), turns_(std::move(turns)) {}
  void put(core::Result<RemoteReply> reply) {
    {
      const std::lock_guard lock(mutex_);
      reply_ = std::move(reply);
      arrival_ = clock_->now();
    }
    arrived_.notify_all();
    if (turns_)
      turns_->look_again();
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
  // Since it came; when it is full.
  Seconds age() const {
    const std::lock_guard lock(mutex_);
    return clock_->now() - arrival_;
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
  Seconds arrival_;
  const std::shared_ptr<const core::Clock> clock_;
  const std::shared_ptr<Turns> turns_;
};

// Fewer bytes than this are not worth sending by themselves: small tensors go together.
constexpr std::size_t least_piece = 16U << 10;

// A request's body: its header, the values piece by piece, and the check behind them.
class Body final : public BodySource {
 public:
  Body(std::vector<std::byte> header, transport::ValuesEncoder encoder, const core::Clock& clock)
      : encoder_(std::move(encoder)), clock_(clock), header_(std::move(header)) {}

  [[nodiscard]] std::uint64_t bound() const override {
    return header_.size() + (encoder_.bound() - encoder_.encoded()) + (check_ ? 0 : sizeof *check_);
  }

  core::Result<std::vector<std::byte>> next() override {
    const Stopwatch took(clock_);
    std::vector<std::byte> piece = std::exchange(header_, {});
    if (check_)
      return piece;
    try {
      piece.reserve(piece.size() + std::min<std::uint64_t>(bound(), most_reserved));
      encoder_.next(least_piece, piece);
      close(piece);
    } catch (const std::bad_alloc&) {
      failed_ = true;
      return core::fail(core::Errc::exhausted, "no memory to encode the cut tensors");
    }
    bytes_ += piece.size();
    time_ += took.elapsed();
    return piece;
  }

  [[nodiscard]] bool whole() const { return check_.has_value(); }
  [[nodiscard]] bool failed() const { return failed_; }
  // Once it is whole.
  [[nodiscard]] std::optional<std::uint64_t> check() const { return check_; }
  // So far.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] Seconds time() const { return time_; }

 private:
  static constexpr std::uint64_t most_reserved = transport::piece_bytes + (64U << 10);

  // The check goes behind the last piece.
  void close(std::vector<std::byte>& piece) {
    if (encoder_.done() && !hasher_) {
      check_ = seal(piece);
      return;
    }
    if (!hasher_)
      hasher_.emplace();
    hasher_->add(piece);
    if (!encoder_.done())
      return;
    check_ = hasher_->hash();
    core::ByteWriter(piece).put(*check_);
  }

  transport::ValuesEncoder encoder_;
  const core::Clock& clock_;
  std::vector<std::byte> header_;
  std::optional<core::Hasher> hasher_;  // of what has more than one piece
  std::optional<std::uint64_t> check_;
  bool failed_ = false;
  std::size_t bytes_ = 0;
  Seconds time_;
};

// The right to compute here: the caller's turn, and the settings of this request.
class Edge {
 public:
  using Levels = std::span<const core::LevelIndex>;

  // `tail`: for what the edge does in the cloud's place; empty: the same.
  Edge(device::Arbiter* arbiter, Levels levels, Levels tail, Turn* turn)
      : arbiter_(arbiter), levels_(levels), tail_(tail.empty() ? levels : tail), turn_(turn) {}

  // The turn is the caller's already.
  core::Result<void> begin() { return set(levels_); }

  void leave() {
    lease_.release();
    if (turn_ != nullptr)
      turn_->end();
  }

  // To encode again.
  void come_back() { (void)come_back(levels_, nullptr); }

  // For the tail. False: `unless` came true before.
  bool come_back_for_tail(const std::function<bool()>& unless = nullptr) {
    return come_back(tail_, unless);
  }

  // Whether they are set, by this request alone.
  [[nodiscard]] bool has_tail_levels() const { return lease_.held() && same(set_, tail_); }

  [[nodiscard]] std::shared_ptr<Turns> turns() const {
    return turn_ != nullptr ? turn_->turns() : nullptr;
  }

 private:
  static bool same(Levels a, Levels b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

  core::Result<void> set(Levels levels) {
    if (arbiter_ == nullptr)
      return {};
    auto granted = arbiter_->acquire(levels);
    if (!granted)
      return core::fail(granted);
    lease_ = std::move(*granted);
    set_ = levels;
    return {};
  }

  // A setting that cannot be had any more does not keep the request from its end; the head's are
  // the next best.
  bool come_back(Levels levels, const std::function<bool()>& unless) {
    if (turn_ != nullptr && !turn_->again(unless))
      return false;
    if (!lease_.held() || !same(set_, levels)) {
      // Beside a lease of its own the new one would only be a compromise.
      lease_.release();
      if (!set(levels) && !same(levels, levels_))
        (void)set(levels_);
    }
    return true;
  }

  device::Arbiter* const arbiter_;
  const Levels levels_, tail_;
  Levels set_;
  Turn* const turn_;
  device::Lease lease_;
};

}  // namespace

BodySource::~BodySource() = default;

core::Result<void> gather(RemoteCall& call) {
  while (call.more != nullptr) {
    const auto piece = call.more->next();
    if (!piece)
      return core::fail(piece);
    if (piece->empty())
      call.more = nullptr;
    call.body.insert(call.body.end(), piece->begin(), piece->end());
  }
  return {};
}

Remote::~Remote() = default;

RemoteStart Remote::start(RemoteCall call, Done done) {
  if ((call.choice.avoid & 1) != 0) {
    done(core::fail(core::Errc::unavailable, "there is no other endpoint"));
    return {};
  }
  if (auto whole = gather(call); !whole)
    done(core::fail(whole));
  else
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
       Edge& edge, Execution& execution)
      : executor_(executor),
        model_(*executor.model_),
        remote_(executor.remote_),
        clock_(*executor.options_.clock),
        configuration_(configuration),
        cut_values_(cut_values),
        options_(options),
        request_(request),
        edge_(edge),
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
      if (left_) {
        const Stopwatch waiting(clock_);
        edge_.come_back();
        lost_ += waiting.elapsed();
      }
      auto body = encode();
      if (!body) {
        why = body.error();
        break;
      }
      auto call = prepare(*body, choice);
      if (!call) {
        why = call.error();
        break;
      }
      const auto mailbox = std::make_shared<Mailbox>(executor_.options_.clock, edge_.turns());
      const Stopwatch round(clock_);
      const Seconds encoded = body->time();
      const RemoteStart started = remote_->start(
          std::move(*call),
          [mailbox](core::Result<RemoteReply> reply) { mailbox->put(std::move(reply)); });
      parts_.encode_meanwhile += body->time() - encoded;
      execution_.sent = core::Bytes(static_cast<double>(body->bytes()));
      edge_.leave();
      left_ = true;
      if (!mailbox->wait(options_.hedge - request_.elapsed()))
        return race(started, *mailbox, round, body->check());
      const auto answered = accept(mailbox->take(), started, round, body->check());
      parts_.abandoned = lost_;
      if (answered)
        return {};
      why = answered.error();
      lost_ += round.elapsed();
      // No other endpoint can help against a fault of ours.
      if (!started.endpoint || body->failed())
        break;
      choice.avoid |= std::uint64_t{1} << *started.endpoint;
    }
    return run_here(why);
  }

 private:
  // Again for another endpoint: a body is read once.
  core::Result<Body> encode() {
    const auto codec = transport::find_codec(configuration_.codec());
    if (!codec)
      return core::fail(codec);
    const Stopwatch encode(clock_);
    std::vector<std::byte> header;
    write_tail_request_header({model_.fingerprint(),
                               configuration_.cut(),
                               configuration_.codec(),
                               configuration_.stages.back().levels,
                               {},
                               configuration_.stages.front().head},
                              header);
    auto encoder = transport::ValuesEncoder::make(cut_values_, **codec);
    parts_.encode += encode.elapsed();
    if (!encoder)
      return core::fail(encoder);
    return Body(std::move(header), std::move(*encoder), clock_);
  }

  // With the beginning of the body, which may be all of it.
  core::Result<RemoteCall> prepare(Body& body, RemoteChoice& choice) {
    RemoteCall call;
    choice.body = core::Bytes(static_cast<double>(body.bound()));
    auto first = body.next();
    if (!first)
      return core::fail(first);
    parts_.encode += body.time();
    call.body = std::move(*first);
    if (!body.whole())
      call.more = &body;
    else
      choice.body = core::Bytes(static_cast<double>(call.body.size()));
    call.service = infer_service;
    call.method = tail_method;
    call.priority = options_.priority;
    call.patience = options_.patience - lost_;
    if (options_.remaining > Seconds(0))
      call.remaining = std::max(core::microseconds(1), options_.remaining - lost_);
    call.choice = choice;
    return call;
  }

  // The outputs of a reply, which nobody looked at for a while, and what it says of its parts.
  // Nothing answers a request whose end was never sent, and so has no check.
  core::Result<void> accept(core::Result<RemoteReply> reply, const RemoteStart& started,
                            const Stopwatch& round, std::optional<std::uint64_t> check,
                            Seconds unread = {}) {
    if (!reply)
      return core::fail(reply);
    const Seconds took = round.elapsed() - unread;
    const Stopwatch receive(clock_);
    const auto sealed =
        check ? unseal(reply->body, *check)
              : core::fail(core::Errc::corrupt, "a reply to a request that was not sent yet");
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
  core::Result<void> race(const RemoteStart& started, Mailbox& mailbox, const Stopwatch& round,
                          std::optional<std::uint64_t> check) {
    core::Error why{core::Errc::timed_out,
                    "no reply by the time the edge had to begin itself",
                    {},
                    "the link or the cloud is slow"};
    edge_.come_back_for_tail([&mailbox] { return mailbox.full(); });
    const Seconds waited = round.elapsed();
    const Stopwatch tail(clock_);
    Seconds waited_again;
    bool pending = true;
    // Whether a reply has come that is one.
    const auto answered = [&] {
      pending = false;
      const Seconds spent = tail.elapsed();
      const Seconds unread = mailbox.age();
      const auto done = accept(mailbox.take(), started, round, check, unread);
      if (done) {
        parts_.hedged = spent;
        parts_.unread = unread;
        return true;
      }
      why = done.error();
      // For a turn, if it was this reply that ended the wait for one.
      const Stopwatch again(clock_);
      edge_.come_back_for_tail();
      waited_again = again.elapsed();
      return false;
    };
    const core::CutId last = model_.cuts().back().id;
    core::CutId from = configuration_.cut();
    core::Result<core::Values> values = cut_values_;
    TailPieces& pieces = *executor_.pieces_;
    for (core::CutId to : pieces.ends(configuration_.stages.front())) {
      if (pending && mailbox.full() && answered()) {
        parts_.abandoned = lost_;
        return {};
      }
      auto next = pieces.run(from, to, *values);
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
    parts_.abandoned = lost_ + waited + waited_again;
    return answer_here(std::move(values), tail.elapsed() - waited_again, std::move(why));
  }

  core::Result<void> run_here(core::Error why) {
    const Stopwatch waiting(clock_);
    edge_.come_back_for_tail();  // a request without a head had no turn yet
    lost_ += waiting.elapsed();
    const Stopwatch tail(clock_);
    parts_.abandoned = lost_;
    auto outputs = model_.run(configuration_.cut(), model_.cuts().back().id, cut_values_);
    return answer_here(std::move(outputs), tail.elapsed(), std::move(why));
  }

  core::Result<void> answer_here(core::Result<core::Values> outputs, Seconds took,
                                 core::Error why) {
    if (!outputs)
      return core::fail(outputs);
    parts_.local_tail = took;
    parts_.edge_compute += took;
    execution_.outputs = std::move(*outputs);
    execution_.fell_back = true;
    execution_.remote_error = std::move(why);
    return {};
  }

  const Executor& executor_;
  const core::Executable& model_;
  Remote* const remote_;
  const core::Clock& clock_;
  const core::Configuration& configuration_;
  const core::Values& cut_values_;  // kept until there is an answer
  const ExecuteOptions& options_;
  const Stopwatch& request_;
  Edge& edge_;
  Execution& execution_;
  MeasuredParts& parts_;
  bool left_ = false;  // the edge, for a call
  Seconds lost_;       // to endpoints that failed, and waiting for a turn behind them
};

Executor::Executor(std::shared_ptr<const core::Executable> model, device::Arbiter* arbiter,
                   Remote* remote, ExecutorOptions options)
    : model_(std::move(model)),
      arbiter_(arbiter),
      remote_(remote),
      options_(std::move(options)),
      pieces_(std::make_shared<TailPieces>(*model_)) {
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

  Edge edge(arbiter_, configuration.stages.front().levels, options.tail_levels, options.turn);
  if (auto begun = edge.begin(); !begun)
    return core::fail(begun);
  parts.apply = whole.elapsed();

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
                 Tail(*this, configuration, *cut_values, options, whole, edge, execution).finish();
             !finished) {
    return core::fail(finished);
  }
  execution.at_tail_levels = edge.has_tail_levels();
  parts.total = whole.elapsed();
  options_.metrics->observe("exec.total_seconds", parts.total.count());
  return execution;
}

}  // namespace cleave::inline v0::exec
