#include <cleave/scheduler/streams.hpp>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <tuple>
#include <utility>
#include <vector>

namespace cleave::inline v0::scheduler {
namespace {

using core::Errc;
using core::fail;
using core::LevelIndex;
using core::Result;
using core::Seconds;

constexpr double infinity = std::numeric_limits<double>::infinity();

bool same_knobs(const std::vector<core::Knob>& a, const std::vector<core::Knob>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const core::Knob& one, const core::Knob& other) {
                      return one.name == other.name && one.levels == other.levels;
                    });
}

}  // namespace

struct Streams::Impl {
  struct Stream {
    std::shared_ptr<const table::ParetoTable> table;
    std::unique_ptr<Policy> policy;
    bool budgeted = false;  // the policy looks at the budget
    Seconds deadline;
    std::uint8_t priority = 1;
    Seconds hold;                          // that its last request was decided to take
    LiveState seen;                        // at its last decision, without spans
    std::vector<LevelIndex> cloud_levels;  // empty: not known
  };

  enum class Place : std::uint8_t { waits, computes, elsewhere };
  struct Entry {
    std::uint64_t id = 0;
    StreamId stream = 0;
    std::uint8_t priority = 1;
    double due = infinity;
    Place place = Place::waits;
    double hold = 0;   // s; that it is expected to compute
    double until = 0;  // s; while it computes
    core::Joules reserved;
    bool begun = false;

    [[nodiscard]] bool before(const Entry& other) const {
      return std::tuple(other.priority, due, id) < std::tuple(priority, other.due, other.id);
    }
  };

  explicit Impl(StreamsOptions given) : options(std::move(given)) {
    free_at.resize(static_cast<std::size_t>(std::max(1, options.computing)));
  }

  Entry& entry(std::uint64_t id) {
    return *std::find_if(entries.begin(), entries.end(),
                         [id](const Entry& e) { return e.id == id; });
  }

  [[nodiscard]] std::size_t count(Place place) const {
    return static_cast<std::size_t>(std::count_if(
        entries.begin(), entries.end(), [place](const Entry& e) { return e.place == place; }));
  }

  // Until a place is free for it, if all go by the order and take what they are expected to.
  [[nodiscard]] Seconds wait_of(const Entry& mine, Seconds now) {
    if (options.computing == 0)
      return {};
    std::fill(free_at.begin(), free_at.end(), 0.0);
    const auto soonest = [&] { return std::min_element(free_at.begin(), free_at.end()); };
    for (const Entry& other : entries)
      if (other.place == Place::computes && other.id != mine.id)
        *soonest() += std::max(0.0, other.until - now.count());
    for (const Entry& other : entries)  // by the order
      if (other.place == Place::waits && other.id != mine.id && other.before(mine))
        *soonest() += other.hold;
    return Seconds(*soonest());
  }

  // What the streams of higher priority have to spare.
  [[nodiscard]] Seconds limit_of(const Stream& mine) {
    double limit = infinity;
    for (Stream& other : streams) {
      if (other.priority <= mine.priority || !std::isfinite(other.deadline.count()))
        continue;
      LiveState state = other.seen;
      state.edge_levels = edge_levels;
      state.cloud_levels = other.cloud_levels;
      const Seconds soonest = other.policy->soonest({}, state);
      // A stream that cannot be in time anyway has nothing to ask for.
      if (soonest <= other.deadline)
        limit = std::min(limit, (other.deadline - soonest).count());
    }
    return Seconds(limit);
  }

  [[nodiscard]] LiveState fill_in(const Entry& mine, const LiveState& given, bool waits,
                                  Seconds now) {
    Stream& stream = streams[mine.stream];
    LiveState state = given;
    state.edge_levels = edge_levels;
    state.cloud_levels = stream.cloud_levels;
    state.edge_wait = waits ? wait_of(mine, now) : Seconds();
    state.edge_limit = limit_of(stream);
    state.energy = options.budget ? options.budget->state(now) : EnergyState();
    stream.seen.link = given.link;
    stream.seen.cloud_reachable = given.cloud_reachable;
    stream.seen.queue = given.queue;
    return state;
  }

  Decision decide(std::uint64_t id, const Request& request, const LiveState& given, Seconds now) {
    const std::lock_guard lock(mutex);
    Entry& mine = entry(id);
    Stream& stream = streams[mine.stream];
    const Decision decision = stream.policy->decide(request, fill_in(mine, given, true, now));
    if (decision.row != no_row && mine.place == Place::waits)
      // Who passes by is nothing that others wait for.
      mine.hold =
          has_head(stream, decision.row) ? (decision.switching + decision.edge_hold).count() : 0;
    return decision;
  }

  static bool has_head(const Stream& stream, std::uint32_t row) {
    return stream.table->rows[row].ingredients.edge_compute > Seconds();
  }

  Decision start(std::uint64_t id, const Request& request, const LiveState& given, Seconds now,
                 bool on_edge) {
    const std::lock_guard lock(mutex);
    Entry& mine = entry(id);
    Stream& stream = streams[mine.stream];
    Decision decision;
    // Others who share the budget, and not the streams, may be faster once.
    for (int attempt = 0; attempt < 2; ++attempt) {
      decision = stream.policy->decide(request, fill_in(mine, given, !on_edge, now));
      if (decision.row == no_row || !options.budget || !stream.budgeted)
        break;
      if (options.budget->reserve(decision.edge_energy, now)) {
        mine.reserved = decision.edge_energy;
        break;
      }
      decision = Decision();
    }
    mine.begun = true;
    if (decision.row == no_row) {
      mine.place = Place::elsewhere;
      return decision;
    }
    const core::Configuration& configuration = stream.table->rows[decision.row].configuration;
    edge_levels = configuration.stages.front().levels;
    stream.hold = decision.edge_hold;
    mine.hold = decision.edge_hold.count();
    mine.until = (now + decision.switching + decision.edge_hold).count();
    mine.place = on_edge ? Place::computes : Place::elsewhere;
    return decision;
  }

  void finish(std::uint64_t id, const Outcome* outcome, core::Joules spent, Seconds now) {
    Policy* policy = nullptr;
    {
      const std::lock_guard lock(mutex);
      const auto found =
          std::find_if(entries.begin(), entries.end(), [id](const Entry& e) { return e.id == id; });
      Stream& stream = streams[found->stream];
      if (options.budget && found->begun)
        options.budget->settle(found->reserved, spent, now);
      if (outcome != nullptr && outcome->row < stream.table->rows.size()) {
        policy = stream.policy.get();
        const table::TableRow& row = stream.table->rows[outcome->row];
        if (row.ingredients.uses_cloud && outcome->completed)
          stream.cloud_levels = row.configuration.stages.back().levels;
      }
      entries.erase(found);
    }
    // It may re-compose the table: nobody else need wait for that.
    if (policy != nullptr)
      policy->observe(*outcome);
  }

  StreamsOptions options;
  mutable std::mutex mutex;
  // Their policies are used without the lock, too: where these are does not change.
  std::vector<Stream> streams;
  std::vector<Entry> entries;           // by the order in which they get the edge
  std::vector<double> free_at;          // scratch: when each place of the edge is free
  std::vector<LevelIndex> edge_levels;  // empty: not known
  std::uint64_t next_id = 1;
};

Streams::Streams(StreamsOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Streams::~Streams() = default;

Result<Streams::StreamId> Streams::add(const StreamOptions& options) {
  auto policy = make_policy(options.policy, options.table, options.policy_options);
  if (!policy)
    return fail(policy);
  const std::lock_guard lock(impl_->mutex);
  for (const Impl::Stream& other : impl_->streams)
    if (!same_knobs(other.table->edge_knobs, options.table->edge_knobs))
      return fail(Errc::mismatch,
                  "its table is for other knobs of the edge than the other streams'", options.name,
                  "profile the models with the same knobs on the same device");
  const bool budgeted = options.policy == "cleave";
  if (impl_->options.budget && budgeted) {
    double least = infinity;
    for (const table::TableRow& row : options.table->rows)
      least = std::min(least, table::compose(row.ingredients, options.table->reference, {})
                                  .energy.total(core::Boundary::edge)
                                  .count());
    if (least > impl_->options.budget->capacity().count())
      return fail(Errc::invalid_argument,
                  "the energy budget never saves up what one request takes, " +
                      std::to_string(least) + " J",
                  options.name, "give a larger budget or a longer horizon");
  }
  Impl::Stream stream;
  stream.table = options.table;
  stream.policy = std::move(*policy);
  stream.budgeted = budgeted;
  stream.deadline = options.deadline;
  stream.priority = options.priority;
  stream.seen.link = options.table->reference;
  impl_->streams.push_back(std::move(stream));
  return static_cast<StreamId>(impl_->streams.size() - 1);
}

Policy& Streams::policy(StreamId stream) {
  const std::lock_guard lock(impl_->mutex);
  return *impl_->streams.at(stream).policy;
}

void Streams::retire(StreamId stream) {
  const std::lock_guard lock(impl_->mutex);
  impl_->streams.at(stream).deadline = Seconds(infinity);
}

Streams::Ticket Streams::arrive(StreamId stream, Seconds due, Seconds /*now*/) {
  const std::lock_guard lock(impl_->mutex);
  Impl::Entry entry;
  entry.id = impl_->next_id++;
  entry.stream = stream;
  entry.priority = impl_->streams.at(stream).priority;
  entry.due = due.count();
  entry.hold = impl_->streams[stream].hold.count();
  const auto place = std::find_if(impl_->entries.begin(), impl_->entries.end(),
                                  [&](const Impl::Entry& other) { return entry.before(other); });
  impl_->entries.insert(place, entry);
  return {this, entry.id};
}

bool Streams::edge_free() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->options.computing == 0 ||
         impl_->count(Impl::Place::computes) < static_cast<std::size_t>(impl_->options.computing);
}

std::size_t Streams::waiting() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->count(Impl::Place::waits);
}

std::size_t Streams::computing() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->count(Impl::Place::computes);
}

bool Streams::is_next(const Ticket& ticket) const {
  const std::lock_guard lock(impl_->mutex);
  const auto first =
      std::find_if(impl_->entries.begin(), impl_->entries.end(),
                   [](const Impl::Entry& e) { return e.place == Impl::Place::waits; });
  return first != impl_->entries.end() && first->id == ticket.id_;
}

Streams::Ticket::Ticket(Ticket&& other) noexcept
    : streams_(std::exchange(other.streams_, nullptr)), id_(other.id_) {}

Streams::Ticket& Streams::Ticket::operator=(Ticket&& other) noexcept {
  if (this != &other) {
    drop();
    streams_ = std::exchange(other.streams_, nullptr);
    id_ = other.id_;
  }
  return *this;
}

Streams::Ticket::~Ticket() {
  drop();
}

void Streams::Ticket::drop() {
  // What it spent is not known; what was set aside counts, at the budget's own last time.
  if (Streams* streams = std::exchange(streams_, nullptr))
    streams->impl_->finish(id_, nullptr, core::Joules(infinity), Seconds(-infinity));
}

Decision Streams::Ticket::decide(const Request& request, const LiveState& state, Seconds now) {
  return streams_->impl_->decide(id_, request, state, now);
}

Decision Streams::Ticket::start(const Request& request, const LiveState& state, Seconds now,
                                bool on_edge) {
  return streams_->impl_->start(id_, request, state, now, on_edge);
}

std::string Streams::Ticket::explain(const Request& request, const LiveState& state,
                                     const Decision& decision, Seconds now) {
  Impl& impl = *streams_->impl_;
  const std::lock_guard lock(impl.mutex);
  Impl::Entry& mine = impl.entry(id_);
  LiveState full = impl.fill_in(mine, state, mine.place == Impl::Place::waits, now);
  // As before it took its own share.
  full.energy.available += mine.reserved;
  return impl.streams[mine.stream].policy->explain(request, full, decision);
}

void Streams::Ticket::leave_edge(Seconds /*now*/) {
  const std::lock_guard lock(streams_->impl_->mutex);
  streams_->impl_->entry(id_).place = Impl::Place::elsewhere;
}

void Streams::Ticket::compute_again(Seconds expected, Seconds now) {
  const std::lock_guard lock(streams_->impl_->mutex);
  Impl::Entry& mine = streams_->impl_->entry(id_);
  mine.place = Impl::Place::computes;
  mine.until = (now + expected).count();
}

void Streams::Ticket::applied(std::span<const LevelIndex> levels) {
  const std::lock_guard lock(streams_->impl_->mutex);
  streams_->impl_->edge_levels.assign(levels.begin(), levels.end());
}

void Streams::Ticket::finish(const Outcome& outcome, core::Joules spent, Seconds now) {
  if (Streams* streams = std::exchange(streams_, nullptr))
    streams->impl_->finish(id_, &outcome, spent, now);
}

}  // namespace cleave::inline v0::scheduler
