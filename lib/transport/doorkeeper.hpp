// What stands at a server's door: TLS, tokens, limits on peers, and the lines about them in the
// log. Not installed.
#pragma once

#include "lib/transport/connection.hpp"
#include "lib/transport/gate.hpp"
#include "lib/transport/peer_guard.hpp"
#include "lib/transport/tls_context.hpp"

#include <cleave/transport/server.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace cleave::inline v0::transport {

// On the I/O thread only, but for open().
class Doorkeeper {
 public:
  // Reads the files of options.security. Errors as Server::listen()'s.
  static core::Result<std::unique_ptr<Doorkeeper>> open(const ServerOptions& options);

  // One connection, as far as its limits go.
  class Visit {
   public:
    [[nodiscard]] PeerGuard::Id id() const { return id_; }

   private:
    friend Doorkeeper;
    Visit(std::string address, PeerGuard::Id id, const PeerLimits& limits)
        : address_(std::move(address)),
          id_(id),
          reading_(limits.progress_time, limits.progress_bytes),
          writing_(limits.progress_time, limits.progress_bytes) {}

    std::string address_;
    PeerGuard::Id id_;
    bool established_ = false;
    ProgressWatch reading_, writing_;
  };

  struct Arrival {
    PeerGuard::Arrival::Verdict verdict = PeerGuard::Arrival::Verdict::drop;
    std::string why;
    std::optional<PeerGuard::Id> shed;  // the connection of that visit is to be closed
    std::optional<Visit> visit;         // if it is welcome
  };
  Arrival arrive(const tcp::socket& socket);
  [[nodiscard]] std::unique_ptr<Stream> stream(tcp::socket socket) const;
  // The peer has said all that it must to be served.
  void established(Visit& visit);
  // Its connection is closed; to be told once.
  void left(const Visit& visit, const core::Error& why);
  // Why the connection is to be closed now, if it is.
  std::optional<core::Error> overstayed(Visit& visit, const Connection& connection);
  // How often to ask.
  [[nodiscard]] core::Seconds interval() const;
  // Writes to the log what was only counted so far. To be called at every interval, and in the end
  // for `all`.
  void report(bool all = false);

 private:
  explicit Doorkeeper(const ServerOptions& options);
  void log(const std::string& address, const std::string& what, const std::string& line);

  PeerLimits limits_;
  std::uint32_t unsent_low_water_;
  std::shared_ptr<const core::Clock> clock_;
  core::LogSink* log_;
  std::shared_ptr<const TlsContext> tls_;  // null: plaintext
  std::shared_ptr<const Tokens> tokens_;   // null: none are asked for
  PeerGuard guard_;
  LogThrottle throttle_;
};

}  // namespace cleave::inline v0::transport
