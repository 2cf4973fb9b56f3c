// cleave cert: an authority of one's own, and certificates for servers and clients.
#include "cli/commands.hpp"
#include "cli/common.hpp"

#include <cleave/core/file.hpp>
#include <cleave/transport/certificates.hpp>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <filesystem>

namespace cleave::cli {
namespace {

using core::Errc;
using core::fail;
using transport::CertificateOptions;
using transport::Credentials;

constexpr double day = 86400;
// Much longer than what it signs: replacing it means to visit every machine.
constexpr double authority_days = 3650;
constexpr std::size_t max_pem = 1U << 20;

struct Options {
  std::string folder = "certs", client;
  std::vector<std::string> names;
  int days = 90;
  bool force = false;
};

std::filesystem::path in(const Options& options, const std::string& name) {
  return std::filesystem::path(options.folder) / name;
}

core::Result<void> keep(const Options& options, const std::string& name, const Credentials& made,
                        bool force) {
  const auto certificate = in(options, name + ".pem"), key = in(options, name + ".key");
  std::error_code error;
  for (const auto& path : {certificate, key})
    if (!force && std::filesystem::exists(path, error))
      return fail(Errc::invalid_argument, "it is there already", path.string(),
                  "--force replaces it, and what was given out becomes useless");
  // The key first: a certificate without its key would look finished.
  if (auto written = core::write_file(key, made.key, core::Readers::owner); !written)
    return written;
  if (auto written = core::write_file(certificate, made.certificate); !written)
    return written;
  std::printf("wrote %s and %s\n", certificate.c_str(), key.c_str());
  return {};
}

// The folder's authority; a new one if there is none.
core::Result<Credentials> authority_of(const Options& options) {
  const auto certificate = in(options, "ca.pem"), key = in(options, "ca.key");
  std::error_code error;
  if (!std::filesystem::exists(certificate, error) && !std::filesystem::exists(key, error)) {
    auto made = transport::make_authority("cleave development authority",
                                          core::Seconds(authority_days * day));
    if (!made)
      return made;
    if (auto kept = keep(options, "ca", *made, false); !kept)
      return fail(kept);
    return made;
  }
  auto certificate_text = core::read_text(certificate, max_pem);
  if (!certificate_text)
    return fail(certificate_text);
  auto key_text = core::read_text(key, max_pem);
  if (!key_text)
    return fail(key_text);
  return Credentials{std::move(*certificate_text), std::move(*key_text)};
}

core::Result<void> sign(const Options& options, const Credentials& authority,
                        const std::string& name, CertificateOptions wanted) {
  wanted.validity = core::Seconds(options.days * day);
  auto made = transport::make_certificate(authority, wanted);
  if (!made) {
    core::Error error = made.error();
    if (error.where == "authority")
      error.where = in(options, "ca.pem").string();
    return tl::unexpected(error);
  }
  return keep(options, name, *made, options.force);
}

core::Result<void> certify(const Options& options) {
  if (options.names.empty() && options.client.empty())
    return fail(Errc::invalid_argument, "nothing to certify", {},
                "give --name for a server, --client for a client");
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_';
  };
  if (!std::all_of(options.client.begin(), options.client.end(), plain) || options.client == "ca" ||
      options.client == "server")
    return fail(Errc::invalid_argument, "not a client's name", options.client,
                "letters, digits, '-' and '_'; not ca or server");
  std::error_code error;
  std::filesystem::create_directories(options.folder, error);
  if (error)
    return fail(Errc::io, "cannot make the folder: " + error.message(), options.folder);
  const auto authority = authority_of(options);
  if (!authority)
    return fail(authority);
  if (!options.names.empty())
    if (auto done =
            sign(options, *authority, "server", {options.names, CertificateOptions::Role::server});
        !done)
      return done;
  if (!options.client.empty())
    return sign(options, *authority, options.client,
                {{options.client}, CertificateOptions::Role::client});
  return {};
}

}  // namespace

void add_cert(CLI::App& app, int& result) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("cert", summary_of("cert"));
  command->add_option("--dir", options->folder, "Where the files are")->capture_default_str();
  command
      ->add_option("--name", options->names,
                   "A DNS name or address of the server; may be given several times")
      ->allow_extra_args(false);
  command->add_option("--client", options->client, "The name of a client");
  command->add_option("--days", options->days, "For how long a certificate is valid")
      ->check(CLI::Range(1, 825))
      ->capture_default_str();
  command->add_flag("--force", options->force,
                    "Replace certificates that are there (never the authority)");
  command->footer(
      "The first call makes an authority (ca.pem, ca.key; ten years). Clients need ca.pem, a "
      "server\n"
      "server.pem and server.key, a client of `cleave serve --client-ca ca.pem` its own NAME.pem "
      "and\n"
      "NAME.key; ca.key stays where it is safe. Keys are ECDSA on P-256, readable by their owner "
      "alone.\n"
      "For development and closed fleets: nothing is revoked but by waiting.\n\n"
      "Examples:\n"
      "  cleave cert --name cloud.lan --name 10.0.0.2\n"
      "  cleave cert --client camera-1");
  command->callback([options, &result] {
    if (const auto done = certify(*options); !done)
      result = print_error(done.error());
  });
}

}  // namespace cleave::cli
