// Who may talk to whom: encryption, certificates and tokens, as options free of OpenSSL's types.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace cleave::inline v0::transport {

/// Bytes of a token: 32 characters hold 128 bits even where they are hexadecimal digits.
inline constexpr std::size_t min_token_length = 32;
inline constexpr std::size_t max_token_length = 256;

/// TLS is always version 1.3.
enum class Tls {
  /// A client: on, unless the host is "localhost" or an address of the loopback interface and
  /// nothing else of ClientSecurity asks for TLS. A server: on if it has a certificate; without
  /// one it listens on loopback only.
  automatic,
  on,
  off,  ///< plaintext, wherever it goes: for networks that are trusted otherwise
};

/// How a channel tells the server who it is, and knows whom it talks to. Files are PEM.
struct ClientSecurity {
  Tls tls = Tls::automatic;
  std::string ca_file;           ///< whose signatures are trusted; empty: the system's authorities
  std::string server_name;       ///< name or address that the certificate must be for; empty: host
  std::string certificate_file;  ///< of this client, with its chain, where the server asks for one
  std::string key_file;          ///< its private key, which others may not read
  /// What a server with tokens wants to hear; empty: none. Sent over TLS or loopback only.
  std::string token;
};

/// What a server shows of itself, and asks of its clients. Files are PEM but for the tokens'.
struct ServerSecurity {
  Tls tls = Tls::automatic;
  std::string certificate_file;  ///< with its chain, the server's own first
  std::string key_file;          ///< its private key, which others may not read
  /// Clients need a certificate signed by one of these; empty: no certificate is asked for.
  std::string client_ca_file;
  /// Clients need a token whose SHA-256 is here; empty: no token is asked for. A line each: 64
  /// hexadecimal digits and, if wanted, a name for the log; "#" begins a comment.
  std::string tokens_file;
};

/// Whether a client with these options encrypts what it sends to `host`.
CLEAVE_EXPORT bool uses_tls(const ClientSecurity& security, std::string_view host);

/// 256 random bits as 43 characters (base64url). Errc::internal: the system has no randomness.
CLEAVE_EXPORT core::Result<std::string> make_token();
/// The line of ServerSecurity::tokens_file that admits `token`. Errc::invalid_argument: shorter
/// than min_token_length, longer than max_token_length, not printable ASCII without blanks; or a
/// name with blanks.
CLEAVE_EXPORT core::Result<std::string> token_line(std::string_view token, std::string_view name);

}  // namespace cleave::inline v0::transport
