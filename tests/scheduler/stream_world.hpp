// Streams of requests on an edge that does what their tables say, event by event.
#pragma once

#include <cleave/scheduler/streams.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

namespace cleave::test {

struct WorldRequest {
  scheduler::Streams::StreamId stream = 0;
  core::Seconds arrival, deadline;
};

struct WorldOutcome {
  std::uint32_t row = scheduler::no_row;
  core::Seconds begun, latency;  ///< latency: from arrival; infinite if it was refused
  core::Joules edge;
  bool on_edge = false;
};

/// One request computes at a time, in the order of Streams; the cloud has no queue. `aware`:
/// requests pass a busy edge by if they are decided for a row without a head; else all wait.
inline std::vector<WorldOutcome> run_world(
    scheduler::Streams& streams,
    const std::vector<std::shared_ptr<const table::ParetoTable>>& tables,
    const std::vector<WorldRequest>& requests, bool aware) {
  using core::Seconds;
  using scheduler::Streams;
  struct Waiting {
    std::size_t index;
    Streams::Ticket ticket;
  };
  std::vector<WorldOutcome> out(requests.size());
  std::vector<Waiting> waiting;
  struct Running {
    std::size_t index;
    Streams::Ticket ticket;
    scheduler::Decision decision;
    bool computes;
  };
  std::multimap<double, Running> events;  // by when they leave the edge, then by when they end
  const auto state_of = [&](std::size_t i) {
    return scheduler::LiveState{.link = tables[requests[i].stream]->reference};
  };
  const auto asked = [&](std::size_t i, Seconds now) {
    return scheduler::Request{.deadline = requests[i].deadline,
                              .elapsed = now - requests[i].arrival};
  };
  const auto begin = [&](std::size_t i, Streams::Ticket ticket, Seconds now, bool on_edge) {
    const auto decision = ticket.start(asked(i, now), state_of(i), now, on_edge);
    out[i].row = decision.row;
    out[i].begun = now;
    out[i].on_edge = on_edge;
    if (decision.row == scheduler::no_row) {
      out[i].latency = Seconds(std::numeric_limits<double>::infinity());
      return;
    }
    out[i].latency = now - requests[i].arrival + decision.latency - decision.edge_wait;
    out[i].edge = decision.edge_energy;
    const Seconds leaves = now + (on_edge ? decision.switching + decision.edge_hold
                                          : decision.latency - decision.edge_wait);
    events.emplace(leaves.count(), Running{i, std::move(ticket), decision, on_edge});
  };
  const auto fill_edge = [&](Seconds now) {
    while (streams.edge_free() && !waiting.empty()) {
      const auto next = std::find_if(waiting.begin(), waiting.end(), [&](const Waiting& one) {
        return streams.is_next(one.ticket);
      });
      Waiting one = std::move(*next);
      waiting.erase(next);
      begin(one.index, std::move(one.ticket), now, true);
    }
  };
  std::size_t next = 0;
  while (next < requests.size() || !events.empty()) {
    if (events.empty() ||
        (next < requests.size() && requests[next].arrival.count() < events.begin()->first)) {
      const Seconds now = requests[next].arrival;
      auto ticket = streams.arrive(requests[next].stream, now + requests[next].deadline, now);
      if (aware && !streams.edge_free()) {
        const auto decision = ticket.decide(asked(next, now), state_of(next), now);
        const bool headless =
            decision.row != scheduler::no_row &&
            tables[requests[next].stream]->rows[decision.row].ingredients.edge_compute == Seconds();
        if (headless) {
          begin(next++, std::move(ticket), now, false);
          continue;
        }
      }
      waiting.push_back({next++, std::move(ticket)});
      fill_edge(now);
      continue;
    }
    auto node = events.extract(events.begin());
    const Seconds now(node.key());
    Running& one = node.mapped();
    const Seconds ends = requests[one.index].arrival + out[one.index].latency;
    if (std::exchange(one.computes, false)) {
      one.ticket.leave_edge(now);
      node.key() = std::max(now, ends).count();
      events.insert(std::move(node));
      fill_edge(now);
      continue;
    }
    one.ticket.finish({.row = one.decision.row,
                       .link = tables[requests[one.index].stream]->reference,
                       .measured = one.decision.prediction.latency},
                      one.decision.edge_energy, now);
  }
  return out;
}

}  // namespace cleave::test
