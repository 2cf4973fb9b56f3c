#include "lib/transport/doorkeeper.hpp"

#include <algorithm>

namespace cleave::inline v0::transport {
namespace {

using core::Errc;
using core::fail;
using core::Result;
using core::Seconds;

constexpr Seconds log_period(10);

// What is counted as one peer, see PeerLimits.
std::string key_of(asio::ip::address address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  if (address.is_v4())
    return address.to_string();
  auto bytes = address.to_v6().to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), std::uint8_t{0});
  return asio::ip::make_address_v6(bytes).to_string() + "/64";
}

}  // namespace

Doorkeeper::Doorkeeper(const ServerOptions& options)
    : limits_(options.peers),
      unsent_low_water_(options.unsent_low_water),
      clock_(options.clock),
      log_(options.log),
      guard_(options.peers, options.max_connections),
      throttle_(log_period) {}

Result<std::unique_ptr<Doorkeeper>> Doorkeeper::open(const ServerOptions& options) {
  const ServerSecurity& security = options.security;
  error_code error;
  const auto address = asio::ip::make_address(options.address, error);
  const bool loopback = !error && address.is_loopback();
  const bool certificate = !security.certificate_file.empty() || !security.key_file.empty();
  const bool tls = security.tls == Tls::on || (security.tls == Tls::automatic && certificate);
  if (!tls && security.tls == Tls::automatic && !loopback && !error)
    return fail(Errc::permission_denied, "listening beyond loopback without TLS", options.address,
                "give a certificate and its key (`cleave cert` makes them), or say that plaintext "
                "is meant (--insecure)");
  if (!tls && (certificate || !security.client_ca_file.empty()))
    return fail(Errc::invalid_argument, "certificates are of no use without TLS", options.address,
                "give the server's certificate and key, and not --insecure");
  if (!tls && !loopback && !security.tokens_file.empty())
    return fail(Errc::permission_denied, "tokens would cross the network unencrypted",
                options.address, "use TLS, or no tokens");
  std::unique_ptr<Doorkeeper> made(new Doorkeeper(options));
  if (tls) {
    auto context = TlsContext::for_server(security);
    if (!context)
      return fail(context);
    made->tls_ = std::move(*context);
  }
  if (!security.tokens_file.empty()) {
    auto tokens = Tokens::load(security.tokens_file);
    if (!tokens)
      return fail(tokens);
    made->tokens_ = std::make_shared<const Tokens>(std::move(*tokens));
  }
  return made;
}

Doorkeeper::Arrival Doorkeeper::arrive(const tcp::socket& socket) {
  error_code error;
  const auto endpoint = socket.remote_endpoint(error);
  if (error)
    return {};  // it has gone already
  const std::string address = key_of(endpoint.address());
  const auto arrival = guard_.arrive(address, clock_->now());
  if (arrival.shed)
    log(address, "shed", to_string(endpoint) + ": too many handshakes under way, the oldest goes");
  Arrival answer{arrival.verdict, std::string(arrival.why), arrival.shed, std::nullopt};
  if (arrival.verdict == PeerGuard::Arrival::Verdict::welcome)
    answer.visit = Visit(address, arrival.id, limits_);
  else
    log(address, answer.why, to_string(endpoint) + ": refused, " + answer.why);
  return answer;
}

std::unique_ptr<Stream> Doorkeeper::stream(tcp::socket socket) const {
  auto stream = tls_ ? make_tls_stream(std::move(socket), tls_, unsent_low_water_)
                     : make_tcp_stream(std::move(socket), unsent_low_water_);
  if (tokens_)
    stream = make_gated_stream(std::move(stream), {tokens_, limits_.refusal_delay, log_});
  return stream;
}

void Doorkeeper::established(Visit& visit) {
  visit.established_ = true;
  guard_.established(visit.id_);
}

void Doorkeeper::left(const Visit& visit, const core::Error& why) {
  guard_.left(visit.id_);
  // Who comes and goes without a word (a port scan, a health check) is nothing to report.
  if (why.code == Errc::unavailable || why.code == Errc::cancelled)
    return;
  std::string line = why.message();
  if (!visit.established_) {
    const std::size_t count = guard_.failed(visit.address_, clock_->now());
    line += "; failed handshakes of " + visit.address_ + ": " + std::to_string(count);
  }
  log(visit.address_, why.what, line);
}

std::optional<core::Error> Doorkeeper::overstayed(Visit& visit, const Connection& connection) {
  if (!visit.established_)
    return std::nullopt;  // the handshake has a bound of its own
  const Seconds now = clock_->now();
  const Connection::Traffic traffic = connection.traffic();
  // Both are always told.
  const bool slow_writer = visit.reading_.stalled(traffic.receiving, traffic.read, now);
  const bool slow_reader = visit.writing_.stalled(traffic.sending, traffic.written, now);
  if (slow_writer || slow_reader)
    return core::Error{Errc::timed_out,
                       std::string(slow_writer ? "sent" : "read") + " less than " +
                           std::to_string(limits_.progress_bytes) + " bytes in " +
                           std::to_string(static_cast<long>(limits_.progress_time.count() * 1e3)) +
                           " ms",
                       {},
                       {}};
  if (limits_.idle_timeout > Seconds(0) && now - connection.last_heard() >= limits_.idle_timeout)
    return core::Error{Errc::timed_out, "idle for too long", {}, {}};
  return std::nullopt;
}

Seconds Doorkeeper::interval() const {
  Seconds shortest(4);
  for (const Seconds time : {limits_.idle_timeout, limits_.progress_time})
    if (time > Seconds(0))
      shortest = std::min(shortest, time);
  return std::max(shortest / 4.0, Seconds(0.01));
}

void Doorkeeper::report(bool all) {
  for (const std::string& line : throttle_.overdue(clock_->now() + (all ? log_period : Seconds(0))))
    log_->log(core::Severity::warning, "transport", line);
}

void Doorkeeper::log(const std::string& address, const std::string& what, const std::string& line) {
  if (const auto now = throttle_.line(address + " " + what, line, clock_->now()))
    log_->log(core::Severity::warning, "transport", *now);
}

}  // namespace cleave::inline v0::transport
