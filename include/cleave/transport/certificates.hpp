// Certificates for development and for closed fleets: an authority of one's own, and what it signs.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>

#include <span>
#include <string>
#include <vector>

namespace cleave::inline v0::transport {

/// A certificate (X.509) and its private key (ECDSA on P-256), both PEM.
struct Credentials {
  std::string certificate;
  std::string key;
};

struct CertificateOptions {
  /// DNS names and IP addresses that it is for (subject alternative names). The first is its common
  /// name, too. A server needs one at least; a client's is for the log.
  std::vector<std::string> names;
  enum class Role { server, client } role = Role::server;
  /// From an hour ago, for clocks that differ, until so long from now. May be negative, for tests.
  core::Seconds validity = core::Seconds(90 * 86400.0);
};

/// A new authority, which signs itself. Errc::invalid_argument: no name, or a validity of no time;
/// internal: OpenSSL failed.
CLEAVE_EXPORT core::Result<Credentials> make_authority(const std::string& name,
                                                       core::Seconds validity);
/// A certificate signed by `authority`. Errc::invalid_argument: no name, or one that is neither a
/// DNS name nor an address; corrupt: `authority` is no certificate and key; internal.
CLEAVE_EXPORT core::Result<Credentials> make_certificate(const Credentials& authority,
                                                         const CertificateOptions& options);

}  // namespace cleave::inline v0::transport
