// What the connections of one server, or of one channel, share of TLS; not installed.
#pragma once

#include "lib/transport/openssl.hpp"
#include "lib/transport/stream.hpp"

#include <cleave/core/result.hpp>
#include <cleave/transport/tls.hpp>

#include <memory>
#include <string>

namespace cleave::inline v0::transport {

// Immutable once made, so safe to share.
class TlsContext {
 public:
  // Reads the files. Errc::not_found, permission_denied (unreadable, or a key that others may
  // read), corrupt (not PEM, or key and certificate that do not belong together),
  // invalid_argument (a certificate without its key).
  static core::Result<std::shared_ptr<const TlsContext>> for_client(const ClientSecurity& security,
                                                                    const std::string& host);
  static core::Result<std::shared_ptr<const TlsContext>> for_server(const ServerSecurity& security);

  // Of one connection, before its handshake.
  [[nodiscard]] core::Result<SslPtr> make_ssl() const;
  [[nodiscard]] bool server() const { return server_; }

 private:
  TlsContext() = default;

  SslContextPtr context_;
  std::string name_;  // that the server's certificate must be for
  bool server_ = false;
};

// `unsent_low_water` as for make_tcp_stream().
std::unique_ptr<Stream> make_tls_stream(tcp::socket socket,
                                        std::shared_ptr<const TlsContext> context,
                                        std::uint32_t unsent_low_water);

// The suites of TLS 1.3, best first for this processor.
std::string cipher_suites();

}  // namespace cleave::inline v0::transport
