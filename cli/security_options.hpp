// The options that say who may talk to whom: of a server, and of every command that takes --cloud.
#pragma once

#include <cleave/core/result.hpp>
#include <cleave/transport/tls.hpp>

#include <CLI/CLI.hpp>

#include <string>

namespace cleave::cli {

struct ClientSecurityOptions {
  transport::ClientSecurity security;  ///< but for its token
  std::string token_file;
  bool insecure = false;
};

/// --ca, --server-name, --cert, --key, --token-file and --insecure.
void add_client_security(CLI::App& app, ClientSecurityOptions& options);
/// With the token of the file, or else of the environment variable CLEAVE_TOKEN.
/// Errc::permission_denied: others may read the token's file; not_found.
core::Result<transport::ClientSecurity> client_security(const ClientSecurityOptions& options);

struct ServerSecurityOptions {
  transport::ServerSecurity security;
  bool insecure = false;
};

/// --tls-cert, --tls-key, --client-ca, --tokens and --insecure.
void add_server_security(CLI::App& app, ServerSecurityOptions& options);
transport::ServerSecurity server_security(const ServerSecurityOptions& options);

}  // namespace cleave::cli
