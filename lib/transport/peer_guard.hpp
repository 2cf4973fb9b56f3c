// Who may connect, how often, and for how long; without I/O, with time given. Not installed.
#pragma once

#include <cleave/core/units.hpp>
#include <cleave/transport/peer_limits.hpp>

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace cleave::inline v0::transport {

// Counts connections, handshakes and failures by address, see PeerLimits. Not thread-safe.
class PeerGuard {
 public:
  using Id = std::uint64_t;

  struct Arrival {
    enum class Verdict {
      welcome,
      refuse,  // may be told why
      drop,    // not worth a word
    };
    Verdict verdict = Verdict::welcome;
    std::string_view why;    // unless it is welcome
    Id id = 0;               // of the connection, if it is welcome
    std::optional<Id> shed;  // a handshake to be closed, which makes room for this one
  };

  // `max_connections` bounds them all.
  PeerGuard(const PeerLimits& limits, std::size_t max_connections)
      : limits_(limits), max_connections_(max_connections) {}

  // A connection begins with its handshake. The one shed has left already.
  Arrival arrive(const std::string& address, core::Seconds now);
  void established(Id id);
  void left(Id id);
  // A handshake of this address failed; tells how many have, those forgiven left out.
  std::size_t failed(const std::string& address, core::Seconds now);

  [[nodiscard]] std::size_t connections() const { return connections_.size(); }
  [[nodiscard]] std::size_t handshakes() const;

 private:
  struct Failures {
    double level = 0;
    core::Seconds at;
    std::list<std::string>::iterator place;  // in failed_lately_
  };
  struct Entry {
    std::string address;
    bool handshake = true;
  };

  [[nodiscard]] double level(const Failures& failures, core::Seconds now) const;
  // The oldest of the address with the most.
  [[nodiscard]] Id handshake_to_shed() const;

  PeerLimits limits_;
  std::size_t max_connections_;
  Id last_id_ = 0;
  std::unordered_map<Id, Entry> connections_;
  std::map<std::string, std::size_t> by_address_;
  std::map<std::string, std::set<Id>> handshakes_;  // by address; ids grow with time
  std::unordered_map<std::string, Failures> failures_;
  std::list<std::string> failed_lately_;  // the addresses of failures_, the latest last
};

// Whether one direction of one connection makes less than PeerLimits' progress.
class ProgressWatch {
 public:
  ProgressWatch(core::Seconds time, std::uint64_t bytes) : time_(time), bytes_(bytes) {}

  // To be told now and then whether something is under way, and the bytes moved in all. True: too
  // few of them for too long.
  bool stalled(bool under_way, std::uint64_t total, core::Seconds now);

 private:
  core::Seconds time_;
  std::uint64_t bytes_;
  std::optional<core::Seconds> since_;  // when `from_` was
  std::uint64_t from_ = 0;
};

// Lines for a log that a flood must not fill: of each kind one at once, then a count now and then.
class LogThrottle {
 public:
  explicit LogThrottle(core::Seconds period) : period_(period) {}

  // What to write now; nothing if it is only counted.
  std::optional<std::string> line(const std::string& kind, const std::string& text,
                                  core::Seconds now);
  // The counts whose time has come.
  std::vector<std::string> overdue(core::Seconds now);

 private:
  struct Kind {
    core::Seconds since;
    std::size_t more = 0;
    std::string last;
  };
  core::Seconds period_;
  std::map<std::string, Kind> kinds_;
};

}  // namespace cleave::inline v0::transport
