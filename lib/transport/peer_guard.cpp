#include "lib/transport/peer_guard.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace cleave::inline v0::transport {
namespace {

using core::Seconds;

// Addresses whose failures are remembered, and kinds of lines: a bound on memory only.
constexpr std::size_t most_remembered = 4096;

}  // namespace

PeerGuard::Arrival PeerGuard::arrive(const std::string& address, Seconds now) {
  using Verdict = Arrival::Verdict;
  if (const auto found = failures_.find(address);
      limits_.max_failures_per_address > 0 && found != failures_.end() &&
      level(found->second, now) > static_cast<double>(limits_.max_failures_per_address) - 1)
    return {Verdict::drop, "too many handshakes of this address failed", 0, {}};

  Arrival arrival;
  const auto here = handshakes_.find(address);
  if (here != handshakes_.end() && here->second.size() >= limits_.max_handshakes_per_address &&
      !here->second.empty())
    arrival.shed = *here->second.begin();
  else if (handshakes() >= limits_.max_handshakes && !handshakes_.empty())
    arrival.shed = handshake_to_shed();
  if (arrival.shed)
    left(*arrival.shed);

  const auto count = by_address_.find(address);
  if (connections_.size() >= max_connections_) {
    arrival.verdict = Verdict::refuse;
    arrival.why = "too many connections";
  } else if (count != by_address_.end() && count->second >= limits_.max_connections_per_address) {
    arrival.verdict = Verdict::refuse;
    arrival.why = "too many connections from this address";
  }
  if (arrival.verdict != Verdict::welcome)
    return arrival;
  arrival.id = ++last_id_;
  connections_.emplace(arrival.id, Entry{address, true});
  ++by_address_[address];
  handshakes_[address].insert(arrival.id);
  return arrival;
}

void PeerGuard::established(Id id) {
  const auto found = connections_.find(id);
  if (found == connections_.end() || !found->second.handshake)
    return;
  found->second.handshake = false;
  const auto here = handshakes_.find(found->second.address);
  here->second.erase(id);
  if (here->second.empty())
    handshakes_.erase(here);
}

void PeerGuard::left(Id id) {
  established(id);
  const auto found = connections_.find(id);
  if (found == connections_.end())
    return;
  const auto count = by_address_.find(found->second.address);
  if (--count->second == 0)
    by_address_.erase(count);
  connections_.erase(found);
}

std::size_t PeerGuard::failed(const std::string& address, Seconds now) {
  const auto [found, anew] = failures_.try_emplace(address);
  Failures& failures = found->second;
  if (anew)
    failures.place = failed_lately_.insert(failed_lately_.end(), address);
  else
    failed_lately_.splice(failed_lately_.end(), failed_lately_, failures.place);
  failures.level = level(failures, now) + 1;
  failures.at = now;
  if (failures_.size() > most_remembered) {
    failures_.erase(failed_lately_.front());
    failed_lately_.pop_front();
  }
  return static_cast<std::size_t>(std::ceil(failures.level));
}

std::size_t PeerGuard::handshakes() const {
  std::size_t count = 0;
  for (const auto& [address, ids] : handshakes_) count += ids.size();
  return count;
}

double PeerGuard::level(const Failures& failures, Seconds now) const {
  return std::max(0.0, failures.level - (now - failures.at) / limits_.failure_memory);
}

PeerGuard::Id PeerGuard::handshake_to_shed() const {
  const auto most = std::max_element(
      handshakes_.begin(), handshakes_.end(),
      [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
  return *most->second.begin();
}

bool ProgressWatch::stalled(bool under_way, std::uint64_t total, Seconds now) {
  if (time_ <= Seconds(0))
    return false;
  if (!under_way || !since_ || total - from_ >= bytes_) {
    since_ = under_way ? std::optional(now) : std::nullopt;
    from_ = total;
    return false;
  }
  return now - *since_ >= time_;
}

std::optional<std::string> LogThrottle::line(const std::string& kind, const std::string& text,
                                             Seconds now) {
  const auto found = kinds_.find(kind);
  if (found != kinds_.end() && now - found->second.since < period_) {
    ++found->second.more;
    found->second.last = text;
    return std::nullopt;
  }
  if (found == kinds_.end() && kinds_.size() >= most_remembered)
    kinds_.erase(kinds_.begin());
  Kind& entry = kinds_[kind];
  entry.since = now;
  const std::size_t more = std::exchange(entry.more, 0);
  return more == 0 ? text : text + " (and " + std::to_string(more) + " like it before)";
}

std::vector<std::string> LogThrottle::overdue(Seconds now) {
  std::vector<std::string> lines;
  for (auto at = kinds_.begin(); at != kinds_.end();) {
    Kind& kind = at->second;
    if (now - kind.since < period_) {
      ++at;
    } else if (kind.more == 0) {
      at = kinds_.erase(at);
    } else {
      lines.push_back(
          kind.last +
          (kind.more == 1 ? "" : " (and " + std::to_string(kind.more - 1) + " like it before)"));
      kind.more = 0;
      kind.since = now;
      ++at;
    }
  }
  return lines;
}

}  // namespace cleave::inline v0::transport
