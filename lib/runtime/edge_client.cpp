#include "lib/runtime/energy_split.hpp"
#include "lib/runtime/waiting.hpp"
#include "lib/runtime/worker_pool.hpp"

#include <cleave/runtime/cloud.hpp>
#include <cleave/runtime/edge_client.hpp>
#include <cleave/runtime/shared_edge.hpp>
#include <cleave/table/local_tails.hpp>
#include <cleave/table/measured.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>

namespace cleave::inline v0::runtime {
namespace {

using core::Errc;
using core::fail;
using core::Seconds;

class Counted {
 public:
  explicit Counted(std::atomic<int>& count) : count_(count) { ++count_; }
  ~Counted() { --count_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  std::atomic<int>& count_;
};

table::LatencyParts latency_parts(const exec::MeasuredParts& parts) {
  table::LatencyParts latency;
  latency.edge_compute = parts.edge_compute;
  latency.encode = parts.encode;
  latency.transfer = parts.upload;
  latency.decode = parts.decode;
  latency.round_trip = parts.network;
  latency.queue = parts.queue;
  latency.cloud_compute = parts.cloud_compute;
  latency.reply = parts.reply;
  latency.overhead = parts.apply + parts.abandoned + parts.unread;
  return latency;
}

core::Result<void> check(const EdgeOptions& options) {
  if (!options.model || !options.table)
    return fail(Errc::invalid_argument, "an edge client needs a model and a table");
  if (options.workers < 0 || options.computing < 0)
    return fail(Errc::invalid_argument,
                "the numbers of workers and of computing requests must not be negative");
  if (options.edge && (options.meter || options.budget || options.computing != 1))
    return fail(
        Errc::invalid_argument,
        "a client that shares the edge has its meter, budget and number of computing requests",
        options.stream, "give them to the shared edge");
  const core::Fingerprint model = options.model->fingerprint();
  if (options.table->model.structure != model.structure)
    return fail(Errc::mismatch,
                "the table was made for another model (" + to_string(options.table->model) + ")",
                to_string(model), "profile and optimize this model");
  const auto& wanted = options.table->edge_knobs;
  if (!options.knobs) {
    for (const core::Knob& knob : wanted)
      if (knob.levels.size() > 1)
        return fail(Errc::invalid_argument, "the table sets the knob '" + knob.name +
                                                "', but the client was given no knobs");
    return {};
  }
  const std::vector<core::Knob> have = options.knobs->knobs();
  bool same = have.size() == wanted.size();
  for (std::size_t i = 0; same && i < have.size(); ++i)
    same = have[i].name == wanted[i].name && have[i].levels == wanted[i].levels;
  if (!same)
    return fail(Errc::mismatch, "the table was made for other knobs than this host's", "",
                "give the same board, levels and threads as when profiling");
  return {};
}

}  // namespace

struct EdgeClient::Impl {
  explicit Impl(EdgeOptions given)
      : options(std::move(given)),
        clock(options.clock ? options.clock : std::make_shared<core::SteadyClock>()),
        tails(table::local_tails(*options.table)),
        edge(options.edge),
        executor(options.model, options.knobs.get(), options.cloud.get(),
                 {.clock = clock, .metrics = options.metrics}) {}

  ~Impl() {
    if (policy != nullptr)
      edge->streams().retire(stream);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  core::Result<Reply> run(const Request& request, Seconds start) {
    scheduler::Streams& streams = edge->streams();
    const Seconds due = start + request.deadline;
    auto ticket = streams.arrive(stream, due, clock->now());
    // These three outlive the turn, which tells them when it is given back.
    exec::ExecuteOptions execute;
    std::optional<EnergySplit::Share> share;
    exec::Turn turn(edge->turns(), {.priority = options.stream_priority, .due = due.count()});
    const auto asked = [&] {
      return scheduler::Request{request.deadline, request.accuracy_floor, clock->now() - start};
    };
    const auto has_head = [&](std::uint32_t row) {
      return options.table->rows.at(row).ingredients.edge_compute > Seconds(0);
    };
    scheduler::LiveState state = live_state();
    bool passes_by = false;
    if (!edge->turns()->free()) {
      const auto early = ticket.decide(asked(), state, clock->now());
      passes_by = early.row != scheduler::no_row && !has_head(early.row);
    }
    if (!passes_by) {
      turn.begin();
      state = live_state();
    }
    const Counted counted(under_way);
    const scheduler::Request wanted = asked();
    Reply reply;
    reply.decision = ticket.start(wanted, state, clock->now(), !passes_by);
    if (request.explain)
      reply.explanation = ticket.explain(wanted, state, reply.decision, clock->now());
    if (reply.decision.row == scheduler::no_row)
      return fail(
          Errc::refused,
          "no configuration meets the deadline and the accuracy floor, or the energy budget "
          "is spent",
          {}, reply.explanation);
    // What made it pass by may have gone in between.
    if (passes_by && has_head(reply.decision.row)) {
      turn.begin();
      ticket.compute_again(reply.decision.edge_hold, clock->now());
    }
    const table::TableRow& row = options.table->rows.at(reply.decision.row);

    const table::LocalTail& tail = tails.at(reply.decision.row);
    execute = waiting(request.deadline - wanted.elapsed, reply.decision, row.ingredients,
                      policy->expected(tail), under_way, options.hedge);
    execute.tail_levels = tail.levels;
    execute.priority = request.priority;
    execute.turn = &turn;
    if (EnergySplit* metered = edge->metered())
      share.emplace(*metered, turn.held());
    turn.on_change([&](bool held) {
      if (held)
        ticket.compute_again(execute.local_tail, clock->now());
      else
        ticket.leave_edge(clock->now());
      if (share)
        share->computes(held);
    });
    auto execution = executor.execute(row.configuration, request.inputs, execute);
    // While the turn is this request's, nobody else has set the knobs.
    if (execution && execution->at_tail_levels)
      ticket.applied(tail.levels);
    turn.end();
    if (!execution)
      return fail(execution);
    reply.outputs = std::move(execution->outputs);
    reply.latency = latency_parts(execution->parts);
    reply.fell_back = execution->fell_back;
    reply.cloud_error = std::move(execution->remote_error);
    reply.energy =
        table::energy_of(row.ingredients, reply.latency, execution->sent, execution->received);
    reply.hedged = execution->parts.hedged;
    // Busy while the request waited, or while its bytes were on their way; and with the tail under
    // its settings, if they could be had.
    const exec::MeasuredParts& parts = execution->parts;
    const table::Ingredients& watts = row.ingredients;
    const core::Watts tail_busy = execution->at_tail_levels ? tail.busy : watts.edge_busy;
    reply.energy.edge_compute += watts.edge_busy * parts.encode_meanwhile +
                                 tail_busy * (parts.hedged + parts.local_tail) -
                                 watts.edge_busy * parts.local_tail;
    reply.energy.edge_wait -= watts.edge_idle * (parts.hedged + parts.encode_meanwhile);
    scheduler::Outcome outcome{reply.decision.row, state.link, reply.latency, !reply.fell_back,
                               std::nullopt};
    // That a reply waited for us says nothing of the link.
    outcome.measured.overhead -= parts.unread;
    if (const auto counted_energy = share ? share->end() : std::nullopt) {
      outcome.energy = {*counted_energy, reply.energy.total(core::Boundary::edge)};
      use_measured(*counted_energy, reply.energy);
    }
    reply.total = clock->now() - start;
    ticket.finish(outcome, reply.energy.total(core::Boundary::edge), clock->now());
    options.metrics->observe("runtime.request_seconds", reply.total.count());
    if (reply.fell_back) {
      options.metrics->add("runtime.fallbacks");
      options.log->log(core::Severity::warning, "runtime",
                       "finished on the edge: " + reply.cloud_error->message());
    }
    return reply;
  }

  [[nodiscard]] scheduler::LiveState live_state() const {
    scheduler::LiveState state;
    state.link = link();
    state.cloud_reachable = options.cloud && options.cloud->serves(options.model->fingerprint());
    state.queue = options.cloud ? options.cloud->queue() : Seconds(0);
    return state;
  }

  [[nodiscard]] table::LinkState link() const {
    if (options.cloud)
      if (const auto estimate = options.cloud->estimate())
        return *estimate;
    return options.table->reference;
  }

  // A meter knows the edge's joules as a whole, not what they were spent on. What it cannot resolve
  // stays modelled.
  void use_measured(const core::Energy& measured, table::EnergyParts& energy) const {
    energy.edge_compute = measured.joules;
    energy.edge_wait = energy.radio = core::Joules(0);
    if (options.table->boundary == core::Boundary::edge)
      energy.origin = measured.origin;
  }

  EdgeOptions options;
  std::shared_ptr<const core::Clock> clock;
  std::vector<table::LocalTail> tails;  // of the rows
  std::shared_ptr<SharedEdge> edge;
  scheduler::Streams::StreamId stream = 0;  // of the edge's
  scheduler::Policy* policy = nullptr;      // of the stream
  std::atomic<int> under_way{0};            // requests that have had their turn
  exec::Executor executor;
  WorkerPool workers;  // last: its threads use all of the above
};

EdgeClient::EdgeClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
EdgeClient::~EdgeClient() = default;

core::Result<std::unique_ptr<EdgeClient>> EdgeClient::open(EdgeOptions options) {
  if (auto checked = check(options); !checked)
    return fail(checked);
  // Now and not in the first request that takes the cut.
  for (const table::TableRow& row : options.table->rows)
    if (auto known = exec::introduce(*options.model, row.configuration.cut(),
                                     row.configuration.stages.front().head);
        !known)
      return fail(known);
  if (options.cloud)
    if (auto serves = options.cloud->require(options.model->fingerprint()); !serves)
      return fail(serves);
  auto impl = std::make_unique<Impl>(std::move(options));
  const EdgeOptions& given = impl->options;
  if (!impl->edge)
    impl->edge = std::make_shared<SharedEdge>(SharedEdgeOptions{.computing = given.computing,
                                                                .meter = given.meter,
                                                                .budget = given.budget,
                                                                .log = given.log});
  scheduler::PolicyOptions policy_options = given.policy_options;
  policy_options.hedged = given.hedge == Hedge::last_moment;
  const auto stream = impl->edge->streams().add({.name = given.stream,
                                                 .table = given.table,
                                                 .policy = given.policy,
                                                 .policy_options = policy_options,
                                                 .deadline = given.usual_deadline,
                                                 .priority = given.stream_priority});
  if (!stream)
    return fail(stream);
  impl->stream = *stream;
  impl->policy = &impl->edge->streams().policy(*stream);
  impl->workers.start(impl->options.workers, "cleave-edge", impl->options.max_queued);
  return std::unique_ptr<EdgeClient>(new EdgeClient(std::move(impl)));
}

core::Result<Reply> EdgeClient::infer(const Request& request) {
  return impl_->run(request, impl_->clock->now());
}

std::future<core::Result<Reply>> EdgeClient::submit(Request request) {
  auto promise = std::make_shared<std::promise<core::Result<Reply>>>();
  auto future = promise->get_future();
  if (impl_->options.workers == 0) {
    promise->set_value(fail(Errc::invalid_argument, "this client has no workers"));
    return future;
  }
  const bool queued = impl_->workers.post(
      [impl = impl_.get(), promise, request = std::move(request), start = impl_->clock->now()] {
        try {
          promise->set_value(impl->run(request, start));
        } catch (...) {
          promise->set_exception(std::current_exception());
        }
      });
  if (!queued)
    promise->set_value(fail(Errc::exhausted,
                            std::to_string(impl_->options.max_queued) + " requests wait already"));
  return future;
}

std::vector<std::byte> EdgeClient::learnt() const {
  return impl_->policy->learnt();
}

core::Result<void> EdgeClient::restore(std::span<const std::byte> learnt) {
  return impl_->policy->restore(learnt);
}

const table::ParetoTable& EdgeClient::table() const {
  return *impl_->options.table;
}

table::LinkState EdgeClient::link() const {
  return impl_->link();
}

}  // namespace cleave::inline v0::runtime
